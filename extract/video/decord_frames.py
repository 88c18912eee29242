"""Frames by decord, and the log in which FFmpeg reports damage that it conceals."""

import os
import re
import tempfile
from pathlib import Path

import av  # noqa: F401  (first: imported after decord it would bind decord's FFmpeg)
import decord
import numpy as np
from numpy.typing import NDArray

from .errors import ClipError
from .ffmpeg_log import first_complaint

ANY_SUBSTITUTED = 1e-9  # decord's fault_tol, a share of the frames
decord.logging.set_level(decord.logging.ERROR)


class DecoderLog:
    """FFmpeg's messages on stderr, the only place where it reports damage that it conceals."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        os.dup2(self._file.fileno(), 2)

    def clear(self) -> None:
        """Delete all messages."""
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)

    def complaint(self) -> str | None:
        """The first message since ``clear`` that is not known to be harmless."""
        os.lseek(2, 0, os.SEEK_SET)
        text = os.read(2, 2**16).decode(errors="replace")
        return first_complaint(re.sub(r"^\[.*?\] *", "", line) for line in text.splitlines())


def frames_by_decord(
    path: Path, frame_count: int, wanted: list[int], log: DecoderLog
) -> NDArray[np.uint8] | None:
    """Decode frames by their display numbers: uint8 [len(wanted), height, width, 3], RGB.

    None if decord counts another number of frames, or if the width of a frame is not that of its
    padded lines, which decord cannot copy (on which widths depends on the processor).

    Raises:
        ClipError: ``decode_error``, or ``substituted_frames`` if the decoder concealed damage.
    """
    log.clear()
    try:
        reader = decord.VideoReader(str(path), num_threads=1, fault_tol=ANY_SUBSTITUTED)
        if len(reader) != frame_count:
            return None
        frames = np.asarray(reader.get_batch(wanted).asnumpy())
    except decord.DECORDLimitReachedError as error:
        raise ClipError(
            "substituted_frames", "frames that do not decode would be replaced by their neighbours"
        ) from error
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        if "from_size == to_size" in str(error):
            return None
        raise ClipError("decode_error", log.complaint() or _first_line(error)) from error
    if complaint := log.complaint():
        raise ClipError("substituted_frames", f"the decoder hid damage: {complaint[:200]}")
    return frames


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return re.sub(r"^\[.*?\] *", "", text[0])[-200:] if text else type(error).__name__

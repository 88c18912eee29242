"""Frames by decord, and the log in which FFmpeg tells of damage that it conceals."""

import os
import re
import tempfile
from pathlib import Path

import av  # noqa: F401  (first: after decord it would take decord's FFmpeg for its own)
import decord
import numpy as np
from numpy.typing import NDArray

from .errors import ClipError
from .pyav_frames import first_complaint

ANY_SUBSTITUTED = 1e-9  # of the frames: decord's fault_tol is a share
decord.logging.set_level(decord.logging.ERROR)


class DecoderLog:
    """FFmpeg's messages on stderr, the only place where it reports damage that it conceals."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        os.dup2(self._file.fileno(), 2)

    def clear(self) -> None:
        """Drop all messages."""
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
    """The wanted frames; None where decord counts other frames or cannot copy their width.

    decord takes the padded length of a line for its width, and refuses where the two differ:
    which widths those are depends on the processor (96 with AVX-512).
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

"""The decoder process: reads requests from its parent's socket, answers frames or a reason.

decord may hang or crash on a bad file; a process of its own can be killed. Run with ``-m``.
"""

import os
import re
import resource
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import av
import decord
import numpy as np
from numpy.typing import NDArray

from .container import missing_bytes
from .errors import ClipError
from .sampling import frame_range, sample_frames

MEMORY = 8 * 2**30  # address space: a huge file ends this process, not the machine
ANY_SUBSTITUTED = 1e-9  # of the frames: decord's fault_tol is a share
HARMLESS = re.compile(
    r"mmco: unref short|co located POCs|number of reference frames|SEI type|ATTENTION|time_scale"
)

Request = tuple[str, float | None, float | None, int]


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
        lines = [re.sub(r"^\[.*?\] *", "", line).strip() for line in text.splitlines()]
        return next((line for line in lines if line and not HARMLESS.search(line)), None)


def decode(
    path: str, start: float | None, end: float | None, count: int, log: DecoderLog
) -> np.ndarray:
    """``count`` frames of a clip: uint8 [count, height, width, 3], RGB. Raises ClipError."""
    if not os.path.exists(path):
        raise ClipError("missing", "no such file")
    if os.path.isfile(path):
        if os.path.getsize(path) == 0:
            raise ClipError("empty", "the file has no bytes")
        if missing := missing_bytes(Path(path)):
            raise ClipError("truncated", f"the file ends {missing} bytes before its container says")
    log.clear()
    try:
        reader = decord.VideoReader(path, num_threads=1, fault_tol=ANY_SUBSTITUTED)
    except (decord.DECORDError, RuntimeError) as error:
        message = _first_line(error)
        raise ClipError(
            "no_video" if "stream" in message.lower() else "unreadable", message
        ) from error
    if len(reader) == 0:
        raise ClipError("no_video", "the video has no frames")
    first, last = frame_range(len(reader), float(reader.get_avg_fps()), start, end)
    wanted = sample_frames(first, last, count)
    try:
        frames = _get_batch(reader, path, wanted)
    except decord.DECORDLimitReachedError as error:
        raise ClipError(
            "substituted_frames", "frames that do not decode would be replaced by their neighbours"
        ) from error
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise ClipError("decode_error", log.complaint() or _first_line(error)) from error
    if complaint := log.complaint():
        raise ClipError("substituted_frames", f"the decoder hid damage: {complaint[:200]}")
    return frames


def _get_batch(reader: decord.VideoReader, path: str, wanted: list[int]) -> NDArray[np.uint8]:
    """The wanted frames by decord; by PyAV where decord cannot copy a picture of this width.

    decord takes the padded length of a line for its width, and refuses where the two differ:
    which widths those are depends on the processor (96 with AVX-512).
    """
    try:
        return np.asarray(reader.get_batch(wanted).asnumpy())
    except decord.DECORDError as error:
        if "from_size == to_size" not in str(error):
            raise
    found: dict[int, NDArray[np.uint8]] = {}
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode"}  # else it conceals damage
            for number, frame in enumerate(container.decode(stream)):
                if number in wanted:
                    turned = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                    found[number] = np.ascontiguousarray(turned)
                if number >= max(wanted):
                    break
    except av.FFmpegError as error:
        raise ClipError("decode_error", str(error)[:200]) from error
    if missing := set(wanted) - set(found):
        raise ClipError("decode_error", f"{len(missing)} frames do not decode")
    return np.stack([found[number] for number in wanted])


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return re.sub(r"^\[.*?\] *", "", text[0])[-200:] if text else type(error).__name__


def serve(connection: Connection, log: DecoderLog) -> None:
    """Report readiness, then answer requests until the parent closes the connection.

    An answer is ("frames", shape) followed by the bytes, or ("error", reason, message).
    """
    connection.send("ready")
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            return
        try:
            frames = decode(*request, log)
        except ClipError as error:
            connection.send(("error", error.reason, error.message))
        except MemoryError:
            message = f"its frames do not fit into {MEMORY >> 30} GiB"
            connection.send(("error", "decode_error", message))
        else:
            connection.send(("frames", frames.shape))
            connection.send_bytes(np.ascontiguousarray(frames).reshape(-1).data)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    log = DecoderLog()
    decord.logging.set_level(decord.logging.ERROR)
    serve(Connection(int(sys.argv[1])), log)

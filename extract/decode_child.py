"""The process that decodes: reads requests from its parent's socket, answers with frames or with a reason. Run with ``-m``.

decord may hang or crash on a bad file; in a process of its own it can be killed, and takes nothing with it.
"""

import os
import re
import resource
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import decord
import numpy as np

from extract.container import missing_bytes
from extract.errors import ClipError
from extract.frames import frame_range, sample_frames

MEMORY = 8 * 2**30  # address space; a file of absurd size ends this process, not the machine
ANY_SUBSTITUTED = 1e-9  # of the frames: decord's fault_tol is a share
HARMLESS = re.compile(r"mmco: unref short|co located POCs|number of reference frames|SEI type|ATTENTION|time_scale")

Request = tuple[str, float | None, float | None, int]


class DecoderLog:
    """What FFmpeg says on stderr while it decodes. It hides damage by making pictures up, and this is where it admits it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        os.dup2(self._file.fileno(), 2)

    def clear(self) -> None:
        """Forget what was said."""
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)

    def complaint(self) -> str | None:
        """The first line since ``clear`` that is not known to be harmless."""
        os.lseek(2, 0, os.SEEK_SET)
        lines = [re.sub(r"^\[.*?\] *", "", line).strip() for line in os.read(2, 2**16).decode(errors="replace").splitlines()]
        return next((line for line in lines if line and not HARMLESS.search(line)), None)


def decode(path: str, start: float | None, end: float | None, count: int, log: DecoderLog) -> np.ndarray:
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
        raise ClipError("no_video" if "stream" in message.lower() else "unreadable", message) from error
    if len(reader) == 0:
        raise ClipError("no_video", "the video has no frames")
    first, last = frame_range(len(reader), float(reader.get_avg_fps()), start, end)
    try:
        frames = np.asarray(reader.get_batch(sample_frames(first, last, count)).asnumpy())
    except decord.DECORDLimitReachedError as error:
        raise ClipError("substituted_frames", "frames that do not decode would be replaced by their neighbours") from error
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise ClipError("decode_error", log.complaint() or _first_line(error)) from error
    if complaint := log.complaint():
        raise ClipError("substituted_frames", f"the decoder hid damage: {complaint[:200]}")
    return frames


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return re.sub(r"^\[.*?\] *", "", text[0])[-200:] if text else type(error).__name__


def serve(connection: Connection, log: DecoderLog) -> None:
    """Say that it is ready, then answer requests until the parent hangs up: ("frames", shape) then the bytes, or ("error", reason, message)."""
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
            connection.send(("error", "decode_error", f"its frames do not fit into {MEMORY >> 30} GiB"))
        else:
            connection.send(("frames", frames.shape))
            connection.send_bytes(np.ascontiguousarray(frames).reshape(-1).data)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    log = DecoderLog()
    decord.logging.set_level(decord.logging.ERROR)
    serve(Connection(int(sys.argv[1])), log)

"""The decoder process: reads requests from its parent's socket, answers frames or a reason.

decord may hang or crash on a bad file; a process of its own can be killed. Run with ``-m``.
"""

import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ...core.processes import end_with_parent
from .container import missing_bytes
from .decord_frames import DecoderLog, frames_by_decord
from .errors import ClipError
from .frame_index import LARGEST_FRAME, FrameIndex, read_index
from .pyav_frames import LARGEST_SIDE, frames_by_seeking, frames_from_start
from .sampling import frame_range, sample_frames

MEMORY = 8 * 2**30  # address space: a huge file ends this process, not the machine

Request = tuple[str, float | None, float | None, int]
Frames = tuple[NDArray[np.uint8], float]  # [count, height, width, 3] RGB, seconds of the video


def decode(
    path: str, start: float | None, end: float | None, count: int, log: DecoderLog
) -> Frames:
    """``count`` frames of a clip, and for how many seconds its video shows. Raises ClipError.

    The frame index decides who decodes: decord where the index proves its numbering right, PyAV
    from the key frame before where the packets give display order, else PyAV from the start.
    """
    file = Path(path)
    _refuse_unfit(file)
    index = read_index(file)
    if (pixels := index.size[0] * index.size[1]) > LARGEST_FRAME:
        raise ClipError("too_large", f"frames of {pixels:,} pixels; at most {LARGEST_FRAME:,}")
    if index.seekable:
        wanted = sample_frames(*frame_range(index.times, index.last, start, end), count)
        if index.decord and min(index.size) <= LARGEST_SIDE:
            by_decord = frames_by_decord(file, len(index.pts), wanted, log)
            if by_decord is not None:
                return by_decord, index.seconds
        by_seeking = frames_by_seeking(file, index, wanted)
        if by_seeking is not None:
            return np.stack(by_seeking), index.seconds
    return _from_start(file, index, start, end, count)


def _refuse_unfit(file: Path) -> None:
    """Raise ClipError for a file that is not there, empty, or shorter than its container says."""
    if not file.exists():
        raise ClipError("missing", "no such file")
    if file.is_file():
        if file.stat().st_size == 0:
            raise ClipError("empty", "the file has no bytes")
        if missing := missing_bytes(file):
            raise ClipError("truncated", f"the file ends {missing} bytes before its container says")


def _from_start(
    file: Path, index: FrameIndex, start: float | None, end: float | None, count: int
) -> Frames:
    """The wanted frames out of all: by the index, and again where the decoder shows others."""
    times, last = (index.times, index.last) if index.pts else ([0.0], index.last)
    while True:
        try:
            wanted = sample_frames(*frame_range(times, last, start, end), count)
        except ClipError:
            wanted = []  # by the index; the decoder knows
        found, shown, last = frames_from_start(file, wanted)
        if not shown:
            raise ClipError("no_video", "the video has no frames")
        if sample_frames(*frame_range(shown, last, start, end), count) == wanted:
            return np.stack([found[number] for number in wanted]), shown[-1] + last
        times = shown


def serve(connection: Connection, log: DecoderLog) -> None:
    """Report readiness, then answer requests until the parent closes the connection.

    An answer is ("frames", shape, seconds of the video, seconds of decoding) followed by the bytes,
    or ("error", reason, message).
    """
    connection.send("ready")
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            return
        began = time.monotonic()
        try:
            frames, seconds = decode(*request, log)
        except ClipError as error:
            connection.send(("error", error.reason, error.message))
        except MemoryError:
            limit = resource.getrlimit(resource.RLIMIT_AS)[0] / 2**30
            connection.send(("error", "too_large", f"its frames do not fit into {limit:.1f} GiB"))
        except (ValueError, OSError, av.FFmpegError) as error:
            connection.send(("error", "decode_error", f"{type(error).__name__}: {error}"[:200]))
        else:
            connection.send(("frames", frames.shape, seconds, time.monotonic() - began))
            connection.send_bytes(np.ascontiguousarray(frames).reshape(-1).data)


def limit_memory() -> None:
    """Bound this process's address space, within what the system allows it."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY if allowed == resource.RLIM_INFINITY else min(MEMORY, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    limit_memory()
    end_with_parent()
    log = DecoderLog()
    serve(Connection(int(sys.argv[1])), log)

"""The decoder process: reads requests from its parent's socket and sends frames or a reason.

decord may hang or crash on a bad file, and a separate process can be killed. Run with ``-m``.
"""

import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ...cache.times import ClipTimes
from ...core.processes import end_with_parent
from .container import missing_bytes
from .decord_frames import DecoderLog, frames_by_decord
from .errors import ClipError
from .ffmpeg_log import words_of
from .frame_index import LARGEST_FRAME, FrameIndex, read_index
from .picture import Picture
from .pyav_frames import frames_by_seeking, frames_from_start
from .sampling import choose_frames
from .webp_frames import frames_of_webp, is_animated_webp, webp_times

DIGITS = 6  # microseconds, as browsers count
MEMORY = 8 * 2**30  # bytes of address space: a huge file ends this process, not the machine

# start, end, count, by_time of ``choose_frames``
Choice = tuple[float | None, float | None, int, bool]
Request = tuple[str, Choice]
# [count, height, width, 3] RGB; when they are shown; PQ, HLG or Dolby Vision, None for SDR
Frames = tuple[NDArray[np.uint8], ClipTimes, str | None]


def decode(path: str, choice: Choice, log: DecoderLog) -> Frames:
    """Decode some frames of a clip, and find out when a player shows them.

    The frame index chooses the decoder: decord if the index proves its numbering right, else PyAV
    from the preceding key frame if packets give the display order, else PyAV from the start.
    Pillow decodes animated WebP.

    Raises:
        ClipError: with a quarantine reason.
    """
    file = Path(path)
    _refuse_unfit(file)
    if is_animated_webp(file):
        times, last = webp_times(file)
        wanted = choose_frames(times, last, *choice)
        return np.stack(frames_of_webp(file, wanted)), _on_clock(wanted, times, last, 0.0), None
    index = read_index(file)
    if (pixels := index.size[0] * index.size[1]) > LARGEST_FRAME:
        raise ClipError("too_large", f"frames of {pixels:,} pixels; at most {LARGEST_FRAME:,}")
    if (pixels := index.shown[0] * index.shown[1]) > LARGEST_FRAME:
        raise ClipError("too_large", f"shown with {pixels:,} pixels; at most {LARGEST_FRAME:,}")
    if index.seekable:
        wanted = choose_frames(index.times, index.last, *choice)
        shown = _on_clock(wanted, index.times, index.last, index.begin)
        if index.decord:
            by_decord = frames_by_decord(file, len(index.pts), wanted, log)
            if by_decord is not None:
                return by_decord, shown, index.hdr
        by_seeking = frames_by_seeking(file, index, wanted)
        if by_seeking is not None:
            return _stacked(by_seeking), shown, index.hdr
    return _from_start(file, index, choice)


def _refuse_unfit(file: Path) -> None:
    """Raise ClipError for a file that is missing, empty, or shorter than its container says."""
    if not file.exists():
        raise ClipError("missing", "no such file")
    if file.is_file():
        if file.stat().st_size == 0:
            raise ClipError("empty", "the file has no bytes")
        if missing := missing_bytes(file):
            raise ClipError("truncated", f"the file ends {missing} bytes before its container says")


def _from_start(file: Path, index: FrameIndex, choice: Choice) -> Frames:
    """Decode all frames and keep those wanted; once more if the index had wrong display times."""
    times, last = (index.times, index.last) if index.pts else ([0.0], index.last)
    while True:
        try:
            wanted = choose_frames(times, last, *choice)
        except ClipError:
            wanted = []  # the index shows no such frame; the decoder may
        frames, shown, last, begin = frames_from_start(file, wanted, index.shown)
        if not shown:
            raise ClipError("no_video", "the video has no frames")
        if choose_frames(shown, last, *choice) == wanted:
            pictures = _stacked([frames[number] for number in wanted])
            return pictures, _on_clock(wanted, shown, last, begin), index.hdr
        times = shown


def _on_clock(wanted: list[int], times: list[float], last: float, begin: float) -> ClipTimes:
    """When a player shows frames of a video that it begins to show at ``begin``."""
    end = begin + times[-1] + last
    return ClipTimes(tuple(round(begin + times[n], DIGITS) for n in wanted), begin, end)


def _stacked(pictures: list[Picture]) -> NDArray[np.uint8]:
    """[count, height, width, 3]; raise ClipError if the axes of some have changed places."""
    if len({picture.shape for picture in pictures}) > 1:
        raise ClipError("decode_error", "the video turns on its side in mid-stream")
    return np.stack(pictures)


def serve(connection: Connection, log: DecoderLog) -> None:
    """Send "ready", then serve requests until the parent closes the connection.

    A reply is ("error", reason, message), or ("frames", shape, times, seconds of decoding, HDR)
    and then the frames' bytes.
    """
    connection.send("ready")
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            return
        began = time.monotonic()
        try:
            frames, times, hdr = decode(*request, log)
        except ClipError as error:
            connection.send(("error", error.reason, error.message))
        except MemoryError:
            limit = resource.getrlimit(resource.RLIMIT_AS)[0] / 2**30
            connection.send(("error", "too_large", f"its frames do not fit into {limit:.1f} GiB"))
        except (ValueError, OSError, av.FFmpegError) as error:
            what = f"{type(error).__name__}: {words_of(error)}"
            connection.send(("error", "decode_error", what))
        else:
            connection.send(("frames", frames.shape, times, time.monotonic() - began, hdr))
            connection.send_bytes(np.ascontiguousarray(frames).reshape(-1).data)


def limit_memory() -> None:
    """Limit this process's address space to MEMORY, or to the system's limit if that is less."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY if allowed == resource.RLIM_INFINITY else min(MEMORY, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    limit_memory()
    end_with_parent()
    log = DecoderLog()
    serve(Connection(int(sys.argv[1])), log)

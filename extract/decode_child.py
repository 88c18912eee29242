"""The process that decodes: reads requests from its parent's socket, answers with frames or with a reason. Run with ``-m``.

decord may hang or crash on a bad file; in a process of its own it can be killed, and takes nothing with it.
"""

import os
import sys
from multiprocessing.connection import Connection

import decord
import numpy as np

from extract.errors import ClipError
from extract.frames import frame_range, sample_frames

Request = tuple[str, float | None, float | None, int]


def decode(path: str, start: float | None, end: float | None, count: int) -> np.ndarray:
    """``count`` frames of a clip: uint8 [count, height, width, 3], RGB. Raises ClipError."""
    if not os.path.exists(path):
        raise ClipError("missing", "no such file")
    if os.path.getsize(path) == 0 and os.path.isfile(path):
        raise ClipError("empty", "the file has no bytes")
    try:
        reader = decord.VideoReader(path, num_threads=1)
    except (decord.DECORDError, RuntimeError) as error:
        message = _first_line(error)
        raise ClipError("no_video" if "stream" in message.lower() else "unreadable", message) from error
    if len(reader) == 0:
        raise ClipError("no_video", "the video has no frames")
    first, last = frame_range(len(reader), float(reader.get_avg_fps()), start, end)
    try:
        return np.asarray(reader.get_batch(sample_frames(first, last, count)).asnumpy())
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise ClipError("decode_error", _first_line(error)) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][-200:] if text else type(error).__name__


def serve(connection: Connection) -> None:
    """Answer requests until the parent hangs up: ("frames", shape) then the bytes, or ("error", reason, message)."""
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            return
        try:
            frames = decode(*request)
        except ClipError as error:
            connection.send(("error", error.reason, error.message))
        else:
            connection.send(("frames", frames.shape))
            connection.send_bytes(np.ascontiguousarray(frames).reshape(-1).data)


if __name__ == "__main__":
    decord.logging.set_level(decord.logging.FATAL)
    serve(Connection(int(sys.argv[1])))

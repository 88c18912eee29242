"""Frames of an animated WebP by Pillow, since FFmpeg decodes only still ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

from .errors import ClipError
from .frame_index import LARGEST_FRAME
from .picture import Picture, shown_size, to_picture

ANIMATION = 2  # a bit of the flags of the chunk VP8X
SHORTEST, INSTEAD = 10, 100  # milliseconds: browsers show shorter frames for longer


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP that moves."""
    with path.open("rb") as file:
        head = file.read(21)
    is_extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21
    return is_extended and bool(head[20] & ANIMATION)


def webp_times(path: Path) -> tuple[list[float], float]:
    """Display times of all frames in seconds, and for how long the last one is shown.

    Raises:
        ClipError: ``no_video`` if there are no frames.
    """
    times, end = [], 0
    for name, body in _chunks(path):
        if name == b"ANMF":
            duration = int.from_bytes(body[12:15], "little")
            times.append(end / 1000)
            end += duration if duration > SHORTEST else INSTEAD
    if not times:
        raise ClipError("no_video", "the animation has no frames")
    return times, end / 1000 - times[-1]


def frames_of_webp(path: Path, wanted: Sequence[int]) -> list[Picture]:
    """Decode frames by their numbers, over white where they are transparent.

    Raises:
        ClipError: ``too_large``, or ``decode_error``.
    """
    frames: dict[int, Picture] = {}
    try:
        with Image.open(path, formats=["WEBP"]) as image:
            if (pixels := image.width * image.height) > LARGEST_FRAME:
                raise ClipError(
                    "too_large", f"frames of {pixels:,} pixels; at most {LARGEST_FRAME:,}"
                )
            size = shown_size(*image.size, None)
            for number in range(max(wanted) + 1):
                image.seek(number)
                if number in wanted:
                    white = Image.new("RGBA", image.size, "white")
                    white.alpha_composite(image.convert("RGBA"))
                    pixels_of = np.asarray(white.convert("RGB"))
                    frame = av.VideoFrame.from_ndarray(pixels_of, format="rgb24")
                    frames[number] = to_picture(frame, size)
    except (OSError, EOFError, ValueError, Image.DecompressionBombError) as error:
        raise ClipError("decode_error", f"frames do not decode ({error})"[:200]) from error
    return [frames[number] for number in wanted]


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The name of every RIFF chunk, and the first 16 bytes of its body."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            at = file.tell()
            yield head[:4], file.read(min(length, 16))
            file.seek(at + length + length % 2)

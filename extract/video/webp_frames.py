"""Frames of an animated WebP by Pillow, since FFmpeg decodes only still ones."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

from .errors import ClipError
from .frame_index import LARGEST_FRAME
from .picture import Picture, shown_size, to_picture

FLAGS = 20  # where the flags of the chunk VP8X are
ANIMATION, ALPHA = 2, 16  # bits of them
SHORTEST, INSTEAD = 10, 100  # milliseconds: browsers show shorter frames for longer


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP that moves."""
    with path.open("rb") as file:
        head = file.read(21)
    is_extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21
    return is_extended and bool(head[FLAGS] & ANIMATION)


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
        body = bytearray(path.read_bytes())
        body[FLAGS] |= ALPHA  # else Pillow paints black what no frame covers
        with Image.open(io.BytesIO(body), formats=["WEBP"]) as image:
            if (area := image.width * image.height) > LARGEST_FRAME:
                message = f"frames of {area:,} pixels; at most {LARGEST_FRAME:,}"
                raise ClipError("too_large", message)
            size = shown_size(*image.size, None)
            for number in range(max(wanted) + 1):
                image.seek(number)
                if number in wanted:
                    white = Image.new("RGBA", image.size, "white")
                    white.alpha_composite(image.convert("RGBA"))
                    pixels = np.asarray(white.convert("RGB"))
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
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

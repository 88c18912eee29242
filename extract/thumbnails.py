"""One frame of a clip as a picture file."""

from pathlib import Path

from PIL import Image

from cache.catalog import Clip
from extract.decoder import Decoder


def write_thumbnail(decoder: Decoder, root: Path, clip: Clip, frame: int, frames: int, target: Path) -> None:
    """Write sampled frame ``frame`` (from 0) of ``frames`` as JPEG. Raises ClipError when the video does not decode."""
    pixels = decoder.frames(root / clip.path, clip.start, clip.end, frames)[frame]
    Image.fromarray(pixels).save(target, quality=90)

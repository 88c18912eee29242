"""Frames of clips as pictures: the best frame of search results, or the middle one of any clip."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..core.console import Log
from ..extract.video.decoder import Decoder
from ..extract.video.errors import ClipError
from .results import SearchResult

MAX_HEIGHT = 144  # pixels of a small picture


def write_thumbnails(
    results: Iterable[SearchResult], folder: Path, root: Path | None, log: Log
) -> None:
    """Write the best frame of each result as ``RANK-CLIP.jpg``.

    Args:
        results: the best first.
        folder: made if missing.
        root: where the videos are now; by default where they were at extraction.
        log: gets one line for each clip that does not decode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Decoder() as decoder:
        for rank, result in enumerate(results, 1):
            clip, cache = result.clip, result.cache
            path = (root or Path(cache.provenance.get("root", ""))) / clip.path
            try:
                decoded = decoder.decode(path, clip.start, clip.end, cache.spec.frames)
            except ClipError as error:
                log(f"no thumbnail of {clip.id} ({path}): {error.reason}, {error.message}")
                continue
            picture = Image.fromarray(decoded.frames[result.frame - 1])
            picture.save(folder / f"{rank:02d}-{clip.id}.jpg", quality=90)


def middle_frames(clips: Sequence[tuple[FeatureCache, Clip]]) -> list[bytes | None]:
    """The middle frame of each clip as JPEG, at most ``MAX_HEIGHT`` tall; None if undecodable."""
    pictures: list[bytes | None] = []
    with Decoder() as decoder:
        for cache, clip in clips:
            path = Path(cache.provenance.get("root", "")) / clip.path
            try:
                pixels = decoder.decode(path, clip.start, clip.end, 1).frames[0]
            except ClipError:
                pictures.append(None)
                continue
            image, file = Image.fromarray(pixels), io.BytesIO()
            image.thumbnail((2 * MAX_HEIGHT, MAX_HEIGHT))
            image.save(file, "JPEG", quality=80)
            pictures.append(file.getvalue())
    return pictures

"""The best frame of found clips as picture files."""

from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image

from ...cache.catalog import Clip
from ...cache.reader import FeatureCache
from .decoder import Decoder
from .errors import ClipError


def write_thumbnails(
    shown: Iterable[tuple[Clip, int, int, FeatureCache]],
    folder: Path,
    root: Path | None,
    note: Callable[[str], None],
) -> None:
    """Write one JPEG a clip into ``folder``; ``note`` is told which videos do not decode.

    Args:
        shown: clip, sampled frame (from 0), sampled frames, and the cache that it is in.
        folder: made if missing.
        root: where the videos are now; by default where they were.
        note: told a line for each clip without a picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Decoder(60) as decoder:
        for place, (clip, frame, frames, cache) in enumerate(shown, 1):
            path = (root or Path(cache.provenance.get("root", ""))) / clip.path
            try:
                pixels = decoder.decode(path, clip.start, clip.end, frames).frames[frame]
            except ClipError as error:
                note(f"no thumbnail of {clip.id} ({path}): {error.reason}, {error.message}")
                continue
            Image.fromarray(pixels).save(folder / f"{place:02d}-{clip.id}.jpg", quality=90)

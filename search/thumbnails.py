"""Frames of clips as pictures: the best one of found clips, or the middle one."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..extract.video.decoder import Decoder
from ..extract.video.errors import ClipError

HEIGHT = 144  # pixels of a small picture


def write_thumbnails(
    shown: Iterable[tuple[Clip, int, int, FeatureCache]],
    folder: Path,
    root: Path | None,
    log: Callable[[str], None],
) -> None:
    """Write one JPEG a clip into ``folder``; ``log`` is told which videos do not decode.

    Args:
        shown: clip, sampled frame (from 0), sampled frames, and the cache that it is in.
        folder: made if missing.
        root: where the videos are now; by default where they were.
        log: told a line for each clip without a picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Decoder(60) as decoder:
        for place, (clip, frame, frames, cache) in enumerate(shown, 1):
            path = (root or Path(cache.provenance.get("root", ""))) / clip.path
            try:
                pixels = decoder.decode(path, clip.start, clip.end, frames).frames[frame]
            except ClipError as error:
                log(f"no thumbnail of {clip.id} ({path}): {error.reason}, {error.message}")
                continue
            Image.fromarray(pixels).save(folder / f"{place:02d}-{clip.id}.jpg", quality=90)


def middle_frames(clips: Sequence[tuple[FeatureCache, Clip]]) -> list[bytes | None]:
    """The middle frame of each clip as JPEG, at most ``HEIGHT`` tall; None where it is gone."""
    pictures: list[bytes | None] = []
    with Decoder(60) as decoder:
        for cache, clip in clips:
            path = Path(cache.provenance.get("root", "")) / clip.path
            try:
                pixels = decoder.decode(path, clip.start, clip.end, 1).frames[0]
            except ClipError:
                pictures.append(None)
                continue
            image, file = Image.fromarray(pixels), io.BytesIO()
            image.thumbnail((2 * HEIGHT, HEIGHT))
            image.save(file, "JPEG", quality=80)
            pictures.append(file.getvalue())
    return pictures

"""Frames of clips as pictures: the best frame of search results, or the middle one of any clip."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..core.console import Log
from ..core.files import file_name
from ..extract.video.decoder import Decoder
from ..extract.video.errors import ClipError
from .clip_files import ClipFiles
from .results import SearchResult

MAX_HEIGHT = 144  # pixels of a small picture


def write_thumbnails(
    results: Iterable[SearchResult], folder: Path, root: Path | None, log: Log
) -> None:
    """Write the best frame of each result as ``RANK-CLIP.jpg``, the id as ``file_name`` has it.

    ``root``: where the videos are now; ``log`` gets a line for each clip that does not decode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = ClipFiles(root)
    with Decoder() as decoder:
        for rank, result in enumerate(results, 1):
            clip, spec = result.clip, result.cache.spec
            try:
                path = files.path(result.cache, clip)
                decoded = decoder.decode(path, clip.start, clip.end, spec.frames, spec.by_time)
            except ClipError as error:
                log(f"no thumbnail of {clip.id} ({clip.path}): {error.reason}, {error.message}")
                continue
            picture = Image.fromarray(decoded.frames[result.frame - 1])
            picture.save(folder / f"{rank:02d}-{file_name(clip.id)}.jpg", quality=90)


def middle_frames(
    clips: Sequence[tuple[FeatureCache, Clip]], files: ClipFiles | None = None
) -> list[bytes | None]:
    """The middle frame of each clip as JPEG, at most ``MAX_HEIGHT`` tall; None if undecodable.

    ``files`` finds the videos, by default where they were at extraction.
    """
    files = files or ClipFiles()
    pictures: list[bytes | None] = []
    with Decoder() as decoder:
        for cache, clip in clips:
            try:
                pixels = decoder.decode(files.path(cache, clip), clip.start, clip.end, 1).frames[0]
            except ClipError:
                pictures.append(None)
                continue
            image, file = Image.fromarray(pixels), io.BytesIO()
            image.thumbnail((2 * MAX_HEIGHT, MAX_HEIGHT))
            image.save(file, "JPEG", quality=80)
            pictures.append(file.getvalue())
    return pictures

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
FRAME_HEIGHT = 360  # of one in place of a video


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


def middle_frames(clips: Sequence[tuple[FeatureCache, Clip]]) -> list[bytes | None]:
    """The middle frame of each clip as ``frame_picture`` gives it; its video where it was."""
    files = ClipFiles()
    with Decoder() as decoder:
        return [frame_picture(decoder, files, cache, clip) for cache, clip in clips]


def frame_picture(
    decoder: Decoder, files: ClipFiles, cache: FeatureCache, clip: Clip, frame: int | None = None
) -> bytes | None:
    """A frame of a clip as JPEG; None if its video is lost or does not decode.

    ``frame``: a sampled one, from 1, at most ``FRAME_HEIGHT`` tall; None for the middle of the
    clip, at most ``MAX_HEIGHT`` tall.
    """
    count, number, height = 1, 1, MAX_HEIGHT
    if frame is not None:
        count, number, height = cache.spec.frames, frame, FRAME_HEIGHT
    try:
        path = files.path(cache, clip)
        decoded = decoder.decode(path, clip.start, clip.end, count, cache.spec.by_time)
    except ClipError:
        return None
    image, file = Image.fromarray(decoded.frames[number - 1]), io.BytesIO()
    image.thumbnail((2 * height, height))
    image.save(file, "JPEG", quality=80)
    return file.getvalue()

"""Tokens of a video that is not in a cache, made the same way as the cache's tokens."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..backbones.backbone import Backbone, load_backbone
from ..cache.reader import FeatureCache
from ..core.errors import StructAlignError
from .video.decoder import Decoder
from .video.errors import ClipError
from .worker import encode


def new_video_tokens(
    cache: FeatureCache, video: Path, start: float | None, end: float | None
) -> NDArray[Any]:
    """Decode and encode the test view of a video file, from ``start`` to ``end`` in seconds.

    Returns:
        float16 [frames, 1 + patches, width].

    Raises:
        StructAlignError: it does not decode, or the weights are not those of the cache.
    """
    spec = cache.spec
    stem = load_cache_backbone(cache).stem(spec.cut)
    with Decoder() as decoder:
        try:
            frames = decoder.decode(video, start, end, spec.frames, spec.by_time).frames
        except ClipError as error:
            raise StructAlignError(f"{video}: {error.reason}, {error.message}") from error
    return encode(stem, frames, video.stem, 1, spec.augmentation)[0]


def load_cache_backbone(cache: FeatureCache) -> Backbone:
    """Load the whole backbone that a cache was made with, since a cache does not hold the stem.

    Raises StructAlignError: its weights are not on this machine, or differ.
    """
    pretrained = str(cache.provenance["pretrained"])
    backbone = load_backbone(cache.spec.backbone, pretrained, cache.frozen, cache.spec.grid)
    if backbone.weights != cache.spec.weights:
        raise StructAlignError(
            f"'{pretrained}' holds other weights here than those this cache was made with"
        )
    return backbone

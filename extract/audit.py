"""The audit of a published cache: extract a sample of clips again and compare their tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cache.reader import FeatureCache
from ..core.errors import StructAlignError
from .new_video import load_cache_backbone
from .video.decoder import Decoder
from .video.errors import ClipError
from .worker import encode

SAMPLE, SEED = 16, 0
# float16 and rounding on other machines stay far above; another frame or weight falls far below.
COSINE = 0.999


def audit(path: str | Path, root: Path | None) -> dict[str, Any]:
    """Extract all views of a seeded sample of clips again and compare every token by cosine.

    ``root``: the folder with the videos now. Returns ``clips``, how many were compared;
    ``min_cosine`` over all tokens; ``differing``, ids of clips that have a token below 0.999 or no
    longer decode. Raises StructAlignError: the videos or the weights are missing.
    """
    cache = FeatureCache.open(path)
    spec = cache.spec
    root = root or cache.video_root
    if root is None:
        raise StructAlignError(
            f"cache {cache.fingerprint[:12]} was made elsewhere; "
            "give the folder of its videos with --root"
        )
    clips = cache.available(list(cache.catalog))
    drawn = np.random.default_rng(SEED).permutation(len(clips))[:SAMPLE]
    chosen = [clips[i] for i in sorted(drawn)]
    if not any((root / clip.path).exists() for clip in chosen):
        raise StructAlignError(
            f"the videos of this cache are not under {root}; give their folder with --root"
        )
    stem = load_cache_backbone(cache).stem(spec.cut)
    smallest, differing = 1.0, []
    with Decoder() as decoder:
        for clip in chosen:
            views = cache.views.views(clip.id)
            try:
                video = decoder.decode(
                    root / clip.path, clip.start, clip.end, spec.frames, spec.by_time
                )
            except ClipError:
                differing.append(clip.id)
                continue
            tokens = encode(stem, video.frames, clip.id, views, spec.augmentation)
            stored = np.stack([cache.tokens([clip.id], view)[0] for view in range(views)])
            fresh, before = (torch.from_numpy(array).float() for array in (tokens, stored))
            lowest = float(torch.cosine_similarity(fresh, before, dim=-1).min())
            smallest = min(smallest, lowest)
            if lowest < COSINE:
                differing.append(clip.id)
    return {"clips": len(chosen), "min_cosine": smallest, "differing": differing}

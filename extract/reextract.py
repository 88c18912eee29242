"""Extracting some clips of a published cache again, to see that its tokens are what its specification says."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cache.backbone import Stem, load_backbone
from cache.errors import StructAlignError
from cache.store import FeatureCache
from extract.decoder import Decoder
from extract.errors import ClipError
from extract.plan import ViewRule
from extract.stages import encode
from extract.views import make_views

SAMPLE, SEED = 16, 0
COSINE = 0.999  # float16 storage and another machine's rounding stay far above; another frame, crop or weight far below


def compare_sample(path: str | Path, root: Path | None, timeout: float = 60.0) -> dict[str, Any]:
    """Decode and encode a seeded sample of clips, all their views, and compare every token by cosine.

    Returns ``clips`` compared, ``min_cosine`` over all tokens, and ``differing``: clips with a token below 0.999, or that no longer decode.

    Raises:
        StructAlignError: the videos or the weights are not there any more.
    """
    cache = FeatureCache.open(path)
    spec, made = cache.spec, cache.provenance
    root = root or Path(made["root"])
    clips = cache.ok(list(cache.catalog))
    chosen = [clips[i] for i in sorted(np.random.default_rng(SEED).permutation(len(clips))[:SAMPLE])]
    if not any((root / clip.path).exists() for clip in chosen):
        raise StructAlignError(f"the videos of this cache are not under {root}; name their folder with --root")
    backbone = load_backbone(spec.backbone, made["pretrained"])
    if backbone.weights != spec.weights:
        raise StructAlignError(f"'{made['pretrained']}' holds other weights here than those this cache was made with")
    stem, rule = Stem(backbone, spec.cut), ViewRule(spec.views, spec.view_seed, spec.view_scale, spec.view_flip)
    smallest, differing = 1.0, []
    with Decoder(timeout) as decoder:
        for clip in chosen:
            views = cache.rows.views(clip.id)
            try:
                frames = decoder.frames(root / clip.path, clip.start, clip.end, spec.frames)
            except ClipError:
                differing.append(clip.id)
                continue
            again = torch.from_numpy(encode(stem, make_views(frames, clip.id, views, rule, backbone.preprocessing))).float()
            stored = torch.from_numpy(np.stack([cache.tokens([clip.id], view)[0] for view in range(views)])).float()
            cosine = float(torch.cosine_similarity(again, stored, dim=-1).min())
            smallest = min(smallest, cosine)
            if cosine < COSINE:
                differing.append(clip.id)
    return {"clips": len(chosen), "min_cosine": smallest, "differing": differing}

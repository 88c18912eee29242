"""A cache with random tokens, of MSR-VTT's shape by default.

No video is decoded; all else is as extraction writes it.
"""

import itertools
from pathlib import Path

import numpy as np

from ...backbones.backbone import load_backbone
from ...backbones.split_weights import save_frozen
from ...cache.catalog import Catalog, Clip
from ...cache.reader import FeatureCache
from ...cache.root import CacheRoot
from ...cache.spec import CacheSpec
from ...cache.tokens import SHARD_CLIPS, ViewTable
from ...cache.writer import ClipOutcome
from .sentences import sentences

FRAMES = 12
BACKBONE = ("ViT-B-32-quickgelu", "random:0")
DISTINCT = 64  # token arrays drawn; rows take them in turn


def make_cache(
    folder: Path,
    cut: int,
    train: int,
    test: int,
    views: int,
    captions: int,
    categories: int = 2,
    frames: int = FRAMES,
    dataset: str = "msrvtt",
    weights: tuple[str, str] = BACKBONE,
) -> FeatureCache:
    """Write a cache and open it.

    ``train`` and ``test`` are clips a category; a training clip has ``captions`` captions, a test
    clip one. ``weights`` names a backbone and its weights.
    """
    clips, names = [], tuple(f"category{n:03d}" for n in range(categories))
    for seed, category in enumerate(names):
        texts = iter(sentences(train * captions + test, seed=seed))
        clips += [
            Clip(
                f"{category}-train{n}",
                f"{n}.mp4",
                category,
                "train",
                tuple(next(texts) for _ in range(captions)),
            )
            for n in range(train)
        ]
        clips += [
            Clip(f"{category}-test{n}", f"{n}.mp4", category, "test", (next(texts),))
            for n in range(test)
        ]
    catalog = Catalog(dataset, names, tuple(clips))
    backbone = load_backbone(*weights)
    shape = backbone.token_shape
    spec = CacheSpec(
        dataset=dataset, sources="none", catalog=catalog.hash(), backbone=backbone.name,
        weights=backbone.weights, cut=cut,
        frames=frames, views=views, view_seed=0, view_scale=0.5, view_flip=True,
        preprocessing=backbone.preprocessing.as_json(), decoder="none",
    )  # fmt: skip
    root = CacheRoot(folder)
    root.open_for_writing()
    writer = root.writer(spec.fingerprint())
    writer.prepare(spec, catalog, {}, shape, lambda path: save_frozen(backbone, cut, path))
    table, rng = ViewTable(catalog, views), np.random.default_rng(0)
    drawn = itertools.cycle(
        rng.standard_normal((DISTINCT, frames, *shape), dtype=np.float32).astype(np.float16)
    )
    for first in range(0, len(clips), SHARD_CLIPS):
        with writer.shard(first // SHARD_CLIPS, table) as shard:
            for place, clip in enumerate(clips[first : first + SHARD_CLIPS]):
                tokens = np.stack([next(drawn) for _ in range(table.views(clip.id))])
                shard.put(place * views, views, tokens)
    writer.finalize(spec, [ClipOutcome(clip.id) for clip in catalog], {})
    return FeatureCache.open(root.publish(writer, spec.fingerprint()))

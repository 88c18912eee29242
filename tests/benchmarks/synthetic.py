"""A real cache of MSR-VTT's shape with random tokens: no video is decoded, everything else is as extraction leaves it."""

from pathlib import Path

import numpy as np

from cache.backbone import load_backbone
from cache.catalog import Catalog, Clip
from cache.halves import save_frozen
from cache.root import CacheRoot
from cache.spec import CacheSpec
from cache.staging import ClipOutcome, write_tokens
from cache.store import FeatureCache
from tests.benchmarks.sentences import sentences

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
    """ViT-B/32 with random weights unless others are named; so many training clips a category, each with so many captions, and test clips."""
    clips, names = [], tuple(f"category{n:03d}" for n in range(categories))
    for seed, category in enumerate(names):
        texts = iter(sentences(train * captions + test, seed=seed))
        clips += [Clip(f"{category}-train{n}", f"{n}.mp4", category, "train", tuple(next(texts) for _ in range(captions))) for n in range(train)]
        clips += [Clip(f"{category}-test{n}", f"{n}.mp4", category, "test", (next(texts),)) for n in range(test)]
    catalog = Catalog(dataset, names, tuple(clips))
    backbone = load_backbone(*weights)
    vision = backbone.config["vision_cfg"]
    shape = 1 + (vision["image_size"] // vision["patch_size"]) ** 2, vision["width"]
    spec = CacheSpec(
        dataset=dataset, sources="none", catalog=catalog.hash(), backbone=backbone.name, weights=backbone.weights, cut=cut,
        frames=frames, views=views, view_seed=0, view_scale=0.5, view_flip=True, preprocessing=backbone.preprocessing.as_json(), decoder="none",
    )  # fmt: skip
    root = CacheRoot(folder)
    root.open_for_writing()
    staged = root.stage(spec.fingerprint())
    staged.prepare(spec, catalog, {}, shape, lambda path: save_frozen(backbone, cut, path))
    array, rng = staged.open_tokens(), np.random.default_rng(0)
    drawn = [rng.standard_normal(array.shape[1:], dtype=np.float32).astype(np.float16) for _ in range(min(DISTINCT, array.shape[0]))]
    for row in range(array.shape[0]):
        write_tokens(array, row, drawn[row % len(drawn)])
    staged.seal(spec, [ClipOutcome(clip.id) for clip in catalog], {})
    return FeatureCache.open(root.publish(staged, spec.fingerprint()))

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

FRAMES, TOKENS, WIDTH = 12, 50, 768


def make_cache(folder: Path, cut: int, train: int, test: int, views: int, captions: int) -> FeatureCache:
    """ViT-B/32 with random weights; two categories, each with so many training and test clips."""
    clips = []
    for category in ("first", "second"):
        texts = iter(sentences(train * captions + test, seed=len(clips)))
        clips += [Clip(f"{category}-train{n}", f"{n}.mp4", category, "train", tuple(next(texts) for _ in range(captions))) for n in range(train)]
        clips += [Clip(f"{category}-test{n}", f"{n}.mp4", category, "test", (next(texts),)) for n in range(test)]
    catalog = Catalog("msrvtt", ("first", "second"), tuple(clips))
    backbone = load_backbone("ViT-B-32-quickgelu", "random:0")
    spec = CacheSpec(
        dataset="msrvtt", sources="none", catalog=catalog.hash(), backbone=backbone.name, weights=backbone.weights, cut=cut,
        frames=FRAMES, views=views, view_seed=0, view_scale=0.5, view_flip=True, preprocessing=backbone.preprocessing.as_json(), decoder="none",
    )  # fmt: skip
    root = CacheRoot(folder)
    root.open_for_writing()
    staged = root.stage(spec.fingerprint())
    staged.prepare(spec, catalog, {}, (TOKENS, WIDTH), lambda path: save_frozen(backbone, cut, path))
    array, rng = staged.open_tokens(), np.random.default_rng(0)
    for row in range(array.shape[0]):
        write_tokens(array, row, rng.standard_normal(array.shape[1:], dtype=np.float32).astype(np.float16))
    staged.seal(spec, [ClipOutcome(clip.id) for clip in catalog], {})
    return FeatureCache.open(root.publish(staged, spec.fingerprint()))

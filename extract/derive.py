"""A cache of whole frames from a cache cut between blocks, without the videos."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..backbones.family import Tail
from ..backbones.saved_names import DIGESTS_FILE
from ..backbones.split_weights import load_frozen, save_frozen
from ..backbones.whole import embed_whole
from ..cache.reader import FeatureCache
from ..cache.root import CacheRoot
from ..cache.tokens import SHARD_CLIPS
from ..cache.writer import CacheWriter, ClipOutcome
from ..core.console import Log, Progress, log_to_stderr
from ..core.device import prepare_cpu, resolve_device
from ..core.errors import StructAlignError
from .pipeline import ExtractReport


def derive(
    cache: FeatureCache,
    root: CacheRoot,
    grid: int,
    device: str,
    progress: Progress,
    log: Log = log_to_stderr,
) -> ExtractReport:
    """The cache that ``extract --cut all`` makes, from one cut where that passes through float16.

    Args:
        cache: it is read whole, quarantine included.
        root: where the new cache is published.
        grid: cells a side, 0 for the frames' embeddings alone.
        device: where to compute; on the CPU the bytes are those of an extraction there.
        progress: called with (done, total, detail).
        log: called with one line of text at a time.

    Raises:
        StructAlignError: the cache holds whole frames already, or is damaged.
    """
    if cache.spec.grid is not None:
        raise StructAlignError(f"cache {cache.fingerprint[:12]} is cut at all already")
    spec, began = replace(cache.spec, grid=grid), time.monotonic()
    fingerprint = spec.fingerprint()
    root.open_for_writing()
    lease = root.lease(fingerprint)
    lease.acquire(lambda who: log(f"{who} is making this cache; waiting for it"))
    with lease:
        published = root.folder(fingerprint)
        if root.is_published(fingerprint):
            return ExtractReport(FeatureCache.open(published), True, time.monotonic() - began)
        backbone = load_frozen(cache.frozen, cache.spec.weights)
        tail = backbone.middle(spec.cut).to(resolve_device(device)).eval()
        whole = replace(backbone, grid=grid)
        writer = root.writer(fingerprint)
        writer.make_empty()

        def save(folder: Path) -> None:
            save_frozen(whole, spec.cut, folder)
            # Of all weights: the cache has those after its cut alone.
            shutil.copyfile(cache.frozen / DIGESTS_FILE, folder / DIGESTS_FILE)

        writer.prepare(spec, cache.catalog, cache.sources, whole.token_shape, save)
        outcomes = list(_write(cache, writer, tail, grid, progress))
        provenance = {**cache.provenance, "derived_from": cache.fingerprint}
        writer.finalize(spec, outcomes, provenance)
        path = root.publish(writer, fingerprint)
    return ExtractReport(FeatureCache.open(path), False, time.monotonic() - began)


def _write(
    cache: FeatureCache, writer: CacheWriter, tail: Tail, grid: int, progress: Progress
) -> Iterator[ClipOutcome]:
    clips, table = list(cache.catalog), cache.views
    prepare_cpu()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as an extraction's worker has, whose bytes these are
    try:
        for start in range(0, len(clips), SHARD_CLIPS):
            with writer.shard(start // SHARD_CLIPS, table) as shard:
                for slot, clip in enumerate(clips[start : start + SHARD_CLIPS]):
                    outcome = ClipOutcome.published(cache, clip.id)
                    tokens = None if outcome.reason else _embed(cache, clip.id, tail, grid)
                    shard.put(slot * table.most, table.most, tokens)
                    yield outcome
            progress(min(start + SHARD_CLIPS, len(clips)), len(clips), "")
    finally:
        torch.set_num_threads(threads)


def _embed(cache: FeatureCache, clip: str, tail: Tail, grid: int) -> NDArray[np.float16]:
    """All views of a clip at once, as they are extracted: [views, frames, tokens, width]."""
    views = range(cache.views.views(clip))
    tokens = torch.from_numpy(cache.read([(clip, view) for view in views]))
    device = next(tail.parameters()).device
    whole = embed_whole(tail, tokens.flatten(0, 1).to(device), grid)
    return np.asarray(whole.unflatten(0, tokens.shape[:2]).half().cpu().numpy())

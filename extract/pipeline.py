"""From a dataset to a published cache."""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import torch

from cache.backbone import Backbone, Stem, load_backbone, save_frozen
from cache.catalog import Catalog, Clip
from cache.errors import StructAlignError
from cache.root import CacheRoot
from cache.spec import CacheSpec, hash_sources
from cache.staging import ClipOutcome, StagedCache
from cache.store import FeatureCache
from extract.datasets.source import Source
from extract.engines import Unit, run_inline, run_ray
from extract.stages import UNIT, Work, encode
from extract.views import ViewRule

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ExtractSettings:
    """What the user may choose. ``cut`` wins over ``adapted_blocks``; workers None means one a core."""

    backbone: str
    pretrained: str
    cut: int | None
    adapted_blocks: int | None
    frames: int
    views: ViewRule
    device: Literal["cpu", "cuda"]
    engine: Literal["ray", "inline"]
    workers: int | None
    ray_address: str | None
    max_bad: float
    retry_bad: bool
    decode_timeout: float


@dataclass(frozen=True)
class ExtractReport:
    """What came of it: the published cache, whether it was there already, and how long it took."""

    cache: FeatureCache
    reused: bool
    seconds: float

    def quarantined(self) -> list[dict[str, str]]:
        """One entry a clip: clip, reason, path, message."""
        bad = self.cache.quarantine
        return [{"clip": clip, "reason": why, "path": self.cache.catalog[clip].path, "message": text} for clip, (why, text) in bad.items()]


def extract(source: Source, settings: ExtractSettings, root: CacheRoot, progress: Progress) -> ExtractReport:
    """Extract what is not there yet and publish it.

    Raises:
        StructAlignError: bad settings, more bad clips than allowed, or a full disk.
    """
    began = time.monotonic()
    backbone = load_backbone(settings.backbone, settings.pretrained)
    cut = _cut(backbone, settings)
    spec = make_spec(source, backbone, cut, settings)
    fingerprint = spec.fingerprint()
    if (root.folder(fingerprint) / "complete.json").is_file():
        return ExtractReport(FeatureCache.open(root.folder(fingerprint)), True, time.monotonic() - began)

    staged = root.stage(fingerprint)
    staged.prepare(spec, source.catalog, _token_shape(backbone, cut), lambda folder: save_frozen(backbone, cut, folder))
    units = _units(source.catalog)
    outcomes = _finished(staged, units, settings.retry_bad)
    todo = [unit for unit in units if unit[0] not in outcomes]
    done = sum(map(len, outcomes.values()))
    progress(done, len(source.catalog))
    work = Work(
        staged.path.resolve(), source.root.resolve(), settings.backbone, _absolute(settings.pretrained), cut, settings.frames, settings.views,
        settings.device, settings.decode_timeout,
    )  # fmt: skip
    for result in _run(work, backbone, source.catalog, todo, settings):
        done += len(result)
        progress(done, len(source.catalog))
    by_unit = _finished(staged, units, retry_bad=False)
    everything = [outcome for number, _ in units for outcome in by_unit[number]]
    _refuse_too_many(everything, settings.max_bad, source)
    staged.seal(spec, everything, _provenance(settings, backbone, source))
    path = root.publish(staged, fingerprint)
    return ExtractReport(FeatureCache.open(path), False, time.monotonic() - began)


def make_spec(source: Source, backbone: Backbone, cut: int, settings: ExtractSettings) -> CacheSpec:
    """The specification of the cache that these settings ask for."""
    return CacheSpec(
        dataset=source.catalog.dataset,
        sources=hash_sources(_source_rows(source)),
        catalog=source.catalog.hash(),
        backbone=backbone.name,
        weights=backbone.weights,
        cut=cut,
        frames=settings.frames,
        views=settings.views.count,
        view_seed=settings.views.seed,
        view_scale=settings.views.scale,
        view_flip=settings.views.flip,
        preprocessing={key: list(value) if isinstance(value, tuple) else value for key, value in asdict(backbone.preprocessing).items()},
        decoder=f"decord2 {version('decord2')}",
    )


def limit_catalog(catalog: Catalog, limit: int) -> Catalog:
    """At most ``limit`` clips, dealt evenly over categories and sides, so that a small part can still be trained on."""
    piles = [catalog.select(split, (category,)) for category in catalog.categories for split in ("train", "test")]
    dealt = [clip for layer in zip_longest(*piles) for clip in layer if clip is not None]
    chosen = {clip.id for clip in dealt[:limit]}
    clips = tuple(replace(clip, twin=clip.twin if clip.twin in chosen else None) for clip in catalog if clip.id in chosen)
    present = {clip.category for clip in clips}
    return Catalog(catalog.dataset, tuple(name for name in catalog.categories if name in present), clips)


def _run(work: Work, backbone: Backbone, catalog: Catalog, units: list[Unit], settings: ExtractSettings) -> Iterable[list[ClipOutcome]]:
    if not units:
        return ()
    if settings.engine == "inline":
        return run_inline(work, backbone, catalog, units)
    workers = min(settings.workers or (1 if settings.device == "cuda" else os.cpu_count() or 1), len(units))
    return run_ray(work, units, workers, settings.ray_address)


def _cut(backbone: Backbone, settings: ExtractSettings) -> int:
    if settings.cut is not None:
        return settings.cut
    adapted = min(settings.adapted_blocks, backbone.blocks) if settings.adapted_blocks else max(1, round(backbone.blocks * 10 / 12))
    return backbone.blocks - adapted


def _token_shape(backbone: Backbone, cut: int) -> tuple[int, int]:
    size = backbone.preprocessing.size
    tokens = encode(Stem(backbone, cut), torch.zeros(1, 1, 3, size, size))
    return tokens.shape[2], tokens.shape[3]


def _units(catalog: Catalog) -> list[Unit]:
    clips: list[Clip] = list(catalog)
    return [(start // UNIT, clips[start : start + UNIT]) for start in range(0, len(clips), UNIT)]


def _finished(staged: StagedCache, units: list[Unit], retry_bad: bool) -> dict[int, list[ClipOutcome]]:
    """Outcomes of the units that have a receipt; with ``retry_bad`` those with a bad clip are to be done again."""
    finished = {}
    for number, _ in units:
        outcomes = staged.receipt(number)
        if outcomes is not None and retry_bad and any(outcome.reason for outcome in outcomes):
            staged.forget(number)
        elif outcomes is not None:
            finished[number] = outcomes
    return finished


def _refuse_too_many(outcomes: list[ClipOutcome], max_bad: float, source: Source) -> None:
    bad = [outcome for outcome in outcomes if outcome.reason]
    if len(bad) > max_bad * len(outcomes):
        listing = "; ".join(f"{o.clip} ({source.catalog[o.clip].path}): {o.reason}" for o in bad[:10])
        more = f"; and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise StructAlignError(
            f"{len(bad)} of {len(outcomes)} clips are bad, more than --max-bad {max_bad:g} allows, so nothing is published: "
            f"{listing}{more}. Mend them and run again with --retry-bad, or raise --max-bad"
        )


def _source_rows(source: Source) -> list[tuple[str, str, float | None, float | None]]:
    paths = sorted({clip.path for clip in source.catalog})
    with ThreadPoolExecutor() as pool:
        hashes = dict(zip(paths, pool.map(_hash_file, [source.root / path for path in paths]), strict=True))
    return [(clip.id, hashes[clip.path], clip.start, clip.end) for clip in source.catalog]


def _hash_file(path: Path) -> str:
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _absolute(pretrained: str) -> str:
    path = Path(pretrained).expanduser()
    return str(path.resolve()) if path.is_file() else pretrained


def _provenance(settings: ExtractSettings, backbone: Backbone, source: Source) -> dict[str, Any]:
    """Recorded beside the specification, not part of the fingerprint."""
    return {
        "root": str(source.root.resolve()),
        "pretrained": backbone.pretrained,
        "device": settings.device,
        "host": platform.node(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {name: version(name) for name in ("torch", "open_clip_torch", "decord2", "zarr", "numpy", "ray")},
    }

"""From a plan to a published cache."""

import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cache.backbone import Backbone, Stem, load_backbone
from cache.catalog import Catalog, Clip
from cache.claim import Claim
from cache.errors import StructAlignError
from cache.halves import save_frozen
from cache.root import CacheRoot
from cache.staging import ClipOutcome, StagedCache
from cache.store import FeatureCache
from extract.datasets.source import Source
from extract.engines import Unit, run_inline, run_ray
from extract.plan import ExtractReport, ExtractSettings, Note, Plan, Progress
from extract.stages import UNIT, Work, encode


def extract(source: Source, plan: Plan, settings: ExtractSettings, root: CacheRoot, progress: Progress, note: Note) -> ExtractReport:
    """Extract what is not there yet and publish it; or wait while somebody else does.

    Raises:
        StructAlignError: more bad clips than allowed, or files or weights that are no longer what was planned.
    """
    began = time.monotonic()
    fingerprint = plan.spec.fingerprint()
    while True:
        claim = root.claim(fingerprint)
        claim.acquire(lambda holder: note(f"{holder} is extracting this cache; waiting for it"))
        with claim:
            if root.is_published(fingerprint) and not (settings.retry_bad and FeatureCache.open(root.folder(fingerprint)).quarantine):
                return ExtractReport(FeatureCache.open(root.folder(fingerprint)), True, time.monotonic() - began)
            try:
                path = _make(source, plan, settings, root, claim, progress, note)
            except (StructAlignError, OSError):
                if claim.superseded:  # this process stood still so long that another took over; what it does now counts
                    continue
                raise
        return ExtractReport(FeatureCache.open(path), False, time.monotonic() - began)


def _make(source: Source, plan: Plan, settings: ExtractSettings, root: CacheRoot, claim: Claim, progress: Progress, note: Note) -> Path:
    backbone = plan.backbone or load_backbone(settings.backbone, settings.pretrained)
    if backbone.weights != plan.spec.weights:
        raise StructAlignError(f"the weights '{settings.pretrained}' changed while this cache was planned; run extract again")
    fingerprint, cut = plan.spec.fingerprint(), plan.spec.cut
    staged = root.stage(fingerprint)
    if staged.sealed:  # killed between the last check and the rename
        return root.publish(staged, fingerprint)
    staged.prepare(plan.spec, source.catalog, plan.sources, _token_shape(backbone, cut), lambda folder: save_frozen(backbone, cut, folder))
    units = _units(source.catalog)
    if root.is_published(fingerprint):
        _take_over(staged, FeatureCache.open(root.folder(fingerprint)), units)
    outcomes = {number: staged.receipt(number) or [] for number, _ in units}
    todo = _todo(units, outcomes, settings.retry_bad)
    done = len(source.catalog) - sum(len(clips) for _, clips in todo)
    progress(done, len(source.catalog), _bad_so_far(outcomes))
    work = Work(
        staged.path.resolve(), source.root.resolve(), plan.spec.decoder, cut,
        settings.frames, settings.views, settings.device, settings.decode_timeout,
    )  # fmt: skip
    for number, clips in _run(work, backbone, source.catalog, todo, settings):
        done += clips
        outcomes[number] = staged.receipt(number) or []
        progress(done, len(source.catalog), _bad_so_far(outcomes))
    everything = [outcome for number, _ in units for outcome in outcomes[number]]
    _refuse_too_many(everything, settings.max_bad, source, note)
    if root.known_hashes(source.root).of(plan.sources) != plan.sources:
        raise StructAlignError(f"files under {source.root} changed while they were being extracted; run extract again")
    if claim.superseded:
        raise StructAlignError("another process took over this cache")
    staged.seal(plan.spec, everything, _provenance(settings, backbone, source))
    return root.publish(staged, fingerprint)


def _run(work: Work, backbone: Backbone, catalog: Catalog, units: list[Unit], settings: ExtractSettings) -> Iterable[tuple[int, int]]:
    if not units:
        return ()
    if settings.engine == "inline":
        return run_inline(work, backbone, catalog, units)
    return run_ray(work, backbone, units, settings.workers, settings.ray_address)


def _token_shape(backbone: Backbone, cut: int) -> tuple[int, int]:
    size = backbone.preprocessing.size
    tokens = encode(Stem(backbone, cut), torch.zeros(1, 1, 3, size, size))
    return tokens.shape[2], tokens.shape[3]


def _units(catalog: Catalog) -> list[Unit]:
    clips: list[Clip] = list(catalog)
    return [(start // UNIT, clips[start : start + UNIT]) for start in range(0, len(clips), UNIT)]


def _todo(units: list[Unit], outcomes: dict[int, list[ClipOutcome]], retry_bad: bool) -> list[Unit]:
    """Clips without an outcome, and with ``retry_bad`` those that are bad."""
    todo = []
    for number, clips in units:
        settled = {outcome.clip for outcome in outcomes[number] if not (retry_bad and outcome.reason)}
        if left := [clip for clip in clips if clip.id not in settled]:
            todo.append((number, left))
    return todo


def _take_over(staged: StagedCache, published: FeatureCache, units: list[Unit]) -> None:
    """Begin where a published cache is: its tokens, and its quarantine as receipts."""
    staged.link_tokens(published.path)
    for number, clips in units:
        staged.write_receipt(number, [ClipOutcome(clip.id, *published.quarantine.get(clip.id, ())) for clip in clips])


def _bad_so_far(outcomes: dict[int, list[ClipOutcome]]) -> str:
    bad = sum(outcome.reason is not None for of_unit in outcomes.values() for outcome in of_unit)
    return f"{bad} quarantined" if bad else ""


def _refuse_too_many(outcomes: list[ClipOutcome], max_bad: float, source: Source, note: Note) -> None:
    bad = [outcome for outcome in outcomes if outcome.reason]
    if len(bad) > max_bad * len(outcomes):
        for outcome in bad:
            note(f"  bad: {outcome.clip} ({source.catalog[outcome.clip].path}): {outcome.reason}, {outcome.message}")
        listing = ", ".join(f"{o.clip}: {o.reason}" for o in bad[:3]) + (", ..." if len(bad) > 3 else "")
        raise StructAlignError(
            f"{len(bad)} of {len(outcomes)} clips are bad ({listing}), more than --max-bad {max_bad:g} allows, so nothing is published. "
            "Mend them and run again with --retry-bad, or raise --max-bad"
        )


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

"""From options to a published cache."""

import math
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cache.catalog import Catalog, content_of, equal_clips, equal_clips_warning
from ..cache.reader import FeatureCache
from ..cache.root import CacheRoot
from ..cache.writer import CacheWriter, ClipOutcome
from ..core.console import Log, Progress, ProgressLine, log_to_stderr
from ..core.errors import StructAlignError
from ..core.hashing import MISSING
from ..core.lease import Lease
from .datasets.dataset import Dataset, Inputs
from .datasets.subset import subset
from .datasets.warnings import dataset_warnings, refuse_overlap
from .plan import Plan, chosen_backbone, explain_miss, make_plan
from .settings import ExtractOptions, ExtractSettings, parse_options, resolve_settings

if TYPE_CHECKING:
    from ..backbones.backbone import Backbone
    from ..backbones.family import Stem
    from .worker import Batch, BatchOutcomes


@dataclass(frozen=True)
class ExtractReport:
    """The published cache, whether it existed before, and the seconds that extraction took."""

    cache: FeatureCache
    reused: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values under the names of the command line's JSON."""
        cache, clips = self.cache, len(self.cache.catalog)
        return {
            "fingerprint": cache.fingerprint,
            "path": str(cache.path),
            "clips": clips,
            "ok": len(cache),
            "quarantined": cache.quarantined(),
            "seconds": round(self.seconds, 3),
            "clips_per_second": 0.0 if self.reused else round(clips / self.seconds, 2),
            "reused": self.reused,
        }

    def summary(self) -> str:
        """One line of text about the cache."""
        cache, clips = self.cache, len(self.cache.catalog)
        rate = f"{self.seconds:.1f} s, {clips / self.seconds:.1f} clips/s"
        how = f"{len(cache)} of {clips} clips ({'already there' if self.reused else rate})"
        return f"cache {cache.fingerprint[:12]}: {how}, {cache.path}"

    def quarantined(self) -> list[str]:
        """One line of text about each clip in quarantine."""
        line = "  quarantined {clip} ({path}): {reason}, {message}"
        return [line.format(**row) for row in self.cache.quarantined()]


def run_extraction(
    given: Mapping[str, Any], progress: Progress | None = None, log: Log | None = None
) -> ExtractReport:
    """Find the cache that the options describe, wait for another process to make it, or make it.

    ``given``: by name, fields of ``ExtractOptions`` and options of the dataset. ``progress`` and
    ``log`` write to stderr by default.

    Raises:
        StructAlignError: bad options or files, more bad clips than allowed, or files or weights
            that changed during the extraction.
    """
    options, reader = parse_options(given)
    progress = progress or ProgressLine("extract", "clips", quiet=False)
    log = log or log_to_stderr
    root = CacheRoot(options.cache_root)
    root.open_for_writing()
    videos, splits = (Path(f) if f else None for f in (options.root, options.splits))
    dataset = reader.read(Inputs(root.path, videos, splits, options.seed))
    settings = resolve_settings(options)
    began = time.monotonic()
    if options.limit:
        dataset = replace(dataset, catalog=subset(dataset.catalog, options.limit))
    plan = make_plan(dataset, settings, root)
    if not (reader.has_fixed_splits or options.allow_overlap):
        refuse_overlap(dataset.catalog, plan.sources)
    contents = ((clip.id, content_of(clip, plan.sources)) for clip in dataset.catalog)
    copies = equal_clips_warning(equal_clips(contents), f"{len(dataset.catalog)} clips")
    for warning in (*dataset_warnings(dataset.catalog), *filter(None, [copies])):
        log(warning)
    published = root.folder(plan.spec.fingerprint())
    if root.is_published(published.name) and not options.retry_bad:
        return ExtractReport(FeatureCache.open(published), True, time.monotonic() - began)
    if changed := explain_miss(plan, root, dataset.root):
        log(changed)
    if missing := missing_videos(dataset, plan.sources, options.max_bad):
        log(missing)
    extraction = Extraction(dataset, plan, settings, options, root, progress, log)
    path, reused = extraction.run()
    return ExtractReport(FeatureCache.open(path), reused, time.monotonic() - began)


@dataclass(frozen=True)
class Extraction:
    """The making of one cache, by one process at a time."""

    dataset: Dataset
    plan: Plan
    settings: ExtractSettings
    options: ExtractOptions
    root: CacheRoot
    progress: Progress
    log: Log

    def run(self) -> tuple[Path, bool]:
        """Return the published folder, and whether another process published it."""
        fingerprint = self.plan.spec.fingerprint()
        published = self.root.folder(fingerprint)
        while True:
            lease = self.root.lease(fingerprint)
            lease.acquire(lambda who: self.log(f"{who} is extracting this cache; waiting for it"))
            with lease:
                if self.root.is_published(fingerprint):
                    bad = FeatureCache.open(published).quarantine
                    if not (self.options.retry_bad and bad):
                        return published, True
                try:
                    return self._make(lease), False
                except (StructAlignError, OSError):
                    if not lease.lost:
                        raise  # else another process took over while this one was suspended

    def _make(self, lease: Lease) -> Path:
        from ..backbones.split_weights import save_frozen
        from ..core.device import resolve_device

        spec, catalog = self.plan.spec, self.dataset.catalog
        device = resolve_device(self.options.device).type
        backbone = self.plan.backbone or chosen_backbone(self.settings)
        if backbone.weights != spec.weights:
            raise StructAlignError(
                f"the weights '{self.settings.pretrained}' changed while this cache was planned; "
                "run extract again"
            )
        captions = (text for clip in catalog for text in clip.captions)
        if warning := backbone.tokenizer().truncation_warning(captions):
            self.log(warning)
        stem = backbone.stem(spec.cut)
        writer = self.root.writer(spec.fingerprint())
        if writer.is_finalized:  # an earlier run was interrupted just before publishing
            return self.root.publish(writer, spec.fingerprint())
        writer.prepare(
            spec, catalog, self.plan.sources, backbone.token_shape,
            lambda folder: save_frozen(backbone, spec.cut, folder),
        )  # fmt: skip
        outcomes = self._write_tokens(writer, stem, device)
        self._refuse_too_many(outcomes)
        self._report_late_ends(outcomes)
        self._report_hdr(outcomes)
        if self.root.file_hashes(self.dataset.root).of(self.plan.sources) != self.plan.sources:
            raise StructAlignError(
                f"files under {self.dataset.root} changed while they were being extracted; "
                "run extract again"
            )
        if lease.lost:
            raise StructAlignError("another process took over this cache")
        writer.finalize(spec, outcomes, self._provenance(backbone, device))
        return self.root.publish(writer, spec.fingerprint())

    def _write_tokens(self, writer: CacheWriter, stem: "Stem", device: str) -> list[ClipOutcome]:
        """Extract the clips that have no outcome yet; return the outcomes of all clips."""
        catalog, retry_bad = self.dataset.catalog, self.options.retry_bad
        batches = _batches(catalog)
        published = self.root.folder(self.plan.spec.fingerprint())
        if self.root.is_published(published.name):
            _begin_with(writer, FeatureCache.open(published), batches)
        records: dict[int, dict[str, ClipOutcome]] = {}
        todo = []
        for number, clips in batches:
            records[number] = {o.clip: o for o in writer.batch_record(number) or ()}
            settled = {o.clip for o in records[number].values() if not (retry_bad and o.reason)}
            if left := [clip for clip in clips if clip.id not in settled]:
                todo.append((number, left))
        done = len(catalog) - sum(len(clips) for _, clips in todo)
        self.progress(done, len(catalog), _bad_so_far(records))
        for number, outcomes in self._execute(writer, stem, device, todo):
            records[number] |= {outcome.clip: outcome for outcome in outcomes}
            writer.write_batch_record(number, list(records[number].values()))
            done += len(outcomes)
            self.progress(done, len(catalog), _bad_so_far(records))
        return [outcome for record in records.values() for outcome in record.values()]

    def _execute(
        self, writer: CacheWriter, stem: "Stem", device: str, batches: "list[Batch]"
    ) -> "Iterable[BatchOutcomes]":
        from .engines.auto import run_auto
        from .engines.inline import run_inline
        from .engines.ray_data import run_ray
        from .worker import WorkerConfig

        if not batches:
            return ()
        options = self.options
        config = WorkerConfig(
            writer.path.resolve(), self.dataset.root.resolve(), self.plan.spec, device,
            options.decode_timeout,
        )  # fmt: skip
        if options.engine == "inline":
            return run_inline(config, stem, self.dataset.catalog, batches)
        if options.engine == "ray" or options.is_for_ray:
            return run_ray(config, stem, batches, options.workers, options.ray_address)
        return run_auto(config, stem, self.dataset.catalog, batches, self.log)

    def _refuse_too_many(self, outcomes: list[ClipOutcome]) -> None:
        bad, max_bad = [outcome for outcome in outcomes if outcome.reason], self.options.max_bad
        if are_allowed(len(bad), len(outcomes), max_bad):
            return
        for outcome in bad:
            path = self.dataset.catalog[outcome.clip].path
            self.log(f"  bad: {outcome.clip} ({path}): {outcome.reason}, {outcome.message}")
        listing = ", ".join(f"{o.clip}: {o.reason}" for o in bad[:3])
        raise StructAlignError(
            f"{len(bad)} of {len(outcomes)} clips are bad ({listing}"
            f"{', ...' if len(bad) > 3 else ''}), more than --max-bad {max_bad:g} allows, so "
            "nothing is published. Fix them and run again with --retry-bad, or raise --max-bad"
        )

    def _report_late_ends(self, outcomes: list[ClipOutcome]) -> None:
        """Log how many clips end after their video, and which of them ends latest."""
        past = [
            (end - outcome.video_ends, outcome.clip, end, outcome.video_ends)
            for outcome in outcomes
            if outcome.video_ends is not None and (end := self.dataset.catalog[outcome.clip].end)
        ]
        if past:
            _, clip, end, video = max(past, key=lambda row: row[0])
            self.log(
                f"{len(past)} of {len(outcomes)} clips end after their video and are clamped to "
                f"its end (the latest: {clip}, at {end:g} s of {video:.2f} s)"
            )

    def _report_hdr(self, outcomes: list[ClipOutcome]) -> None:
        """Log how many clips have a high dynamic range, and the first of them."""
        if clips := [outcome for outcome in outcomes if outcome.hdr]:
            first = self.dataset.catalog[clips[0].clip]
            self.log(
                f"{len(clips)} of {len(outcomes)} clips are HDR and are not tone-mapped, so they "
                f"look paler than in a player (the first: {first.id}, {first.path}, "
                f"{clips[0].hdr}); convert them to SDR for pictures like those of other videos"
            )

    def _provenance(self, backbone: "Backbone", device: str) -> dict[str, Any]:
        """How the cache was made; not part of the fingerprint."""
        packages = ("torch", "open_clip_torch", "decord2", "av", "zarr", "numpy", "ray")
        return {
            "root": str(self.dataset.root.resolve()),
            "pretrained": backbone.pretrained,
            "device": device,
            "host": platform.node(),
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": {name: version(name) for name in packages},
        }


def are_allowed(bad: int, clips: int, max_bad: float) -> bool:
    """Whether so many bad clips may be left out: a share allows at least one, 0 none, none all."""
    return bad <= (max(1, max_bad * clips) if max_bad else 0) and bad < clips


def missing_videos(dataset: Dataset, sources: Mapping[str, str], max_bad: float) -> str | None:
    """One line about clips whose videos are not there, before the first is decoded; else None.

    Raises:
        StructAlignError: they are more than ``max_bad`` allows; it says which share would do.
    """
    paths = [clip.path for clip in dataset.catalog if sources[clip.path] == MISSING]
    paths = [path for path in paths if not (dataset.root / path).exists()]
    if not paths:
        return None
    clips, names = len(dataset.catalog), list(dict.fromkeys(paths))
    listing = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
    what = f"the videos of {len(paths)} of {clips} clips are not under {dataset.root} ({listing})"
    if are_allowed(len(paths), clips, max_bad):
        return f"{what}; these clips go to quarantine"
    if len(paths) == clips:
        raise StructAlignError(f"{what}; name the folder of the videos with --root")
    share = math.ceil(1000 * len(paths) / clips) / 1000
    raise StructAlignError(
        f"{what}, more than --max-bad {max_bad:g} allows: put them there, or leave these clips "
        f"out with --max-bad {share:g}"
    )


def _batches(catalog: Catalog) -> "list[Batch]":
    from ..cache.tokens import SHARD_CLIPS

    clips = list(catalog)
    starts = range(0, len(clips), SHARD_CLIPS)
    return [(start // SHARD_CLIPS, clips[start : start + SHARD_CLIPS]) for start in starts]


def _begin_with(writer: CacheWriter, published: FeatureCache, batches: "list[Batch]") -> None:
    """Begin with the tokens of a published cache, and its outcomes as batch records."""
    writer.take_tokens(published)
    for number, clips in batches:
        outcomes = [ClipOutcome.published(published, clip.id) for clip in clips]
        writer.write_batch_record(number, outcomes)


def _bad_so_far(records: dict[int, dict[str, ClipOutcome]]) -> str:
    bad = sum(o.reason is not None for record in records.values() for o in record.values())
    return f"{bad} quarantined" if bad else ""

"""A run's results: the task matrix and its summaries, and ``results.json``."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cache.catalog import equal_clips, equal_clips_warning, shared_captions
from ..core.errors import StructAlignError
from ..core.files import parse_json, read_bytes, write_text
from ..core.signed_json import parse_signed_text, signed_text
from ..train.runs.folder import EVALUATED, RESULTS, RESULTS_SHA256, RUN_SHA256, RunFolder
from .matrix import (
    Matrix,
    backward_forgetting,
    backward_transfer,
    forward_transfer,
    task_average,
    task_matrices,
)
from .metrics import METRICS, SCORE_METRICS

if TYPE_CHECKING:
    from ..cache.reader import FeatureCache
    from ..train.runs.run import Run

OVERALL = ("t2v", "v2t", "ties", "queries", "clips")
COPIED = ("method", "dataset", "seed", "fingerprint", "settings")


@dataclass(frozen=True)
class StageResults:
    """Figures over all tasks seen after a task, under the contract's names; stage 0 is zero-shot.

    ``t2v``, ``v2t``: every metric by name, ``zero_shot``: ``t2v`` of the pre-trained model over the
    same clips. BWF, BWT and FWT are in points of R@1, None before task 2. Every figure over old
    tasks is None at a stage that ``eval_every`` leaves out. ``of_scores``: the metrics that a
    dataset brings; None where no clip has what they need.
    """

    stage: int
    t2v: dict[str, float] | None
    v2t: dict[str, float] | None
    ties: dict[str, int] | None
    queries: int
    clips: int
    BWF: float | None
    BWF_stored: float | None
    BWF_reencoded: float | None
    BWT: float | None
    FWT: float | None
    task_average: float | None
    zero_shot: dict[str, float] | None
    geometry: dict[str, Any] | None
    seconds: float
    of_scores: dict[str, dict[str, float] | None]

    def to_json(self) -> dict[str, Any]:
        """Plain values; each of ``of_scores`` under its own name."""
        values = asdict(self)
        of_scores = values.pop("of_scores")
        return {**values, **of_scores}


@dataclass(frozen=True)
class Results:
    """What ``results.json`` holds; percentages are 0 to 100.

    ``figures``: all that was measured, R[stage, task, metric] by direction/gallery/scope, and
    ``matrix`` of it each text-to-video metric within each task, with old clips as ``gallery`` says.
    ``parts``: the caches that the ``tasks`` learnt so far came from.
    """

    method: str
    dataset: str
    tasks: int
    seed: int
    selection: str
    evaluated_on: str
    fingerprint: str
    backbone: dict[str, Any]
    coverage: float
    quarantined: list[dict[str, str]]
    categories: list[list[str]]
    parts: list[dict[str, Any]]
    matrix: dict[str, Matrix]
    stages: list[StageResults]
    final: StageResults
    zero_shot: StageResults
    gallery: str
    scope: dict[str, str]
    galleries: dict[str, str]
    ties: int
    equal_clips: int
    warnings: list[str]
    figures: dict[str, dict[str, Matrix]]
    settings: dict[str, Any]

    @property
    def recall(self) -> dict[str, float]:
        """Every metric, text to video, over all tasks at the end; recall in percent."""
        return dict(self.final.t2v or {})

    @property
    def forgetting(self) -> float | None:
        """Backward forgetting in points, positive where old tasks lost; None before task 2."""
        return self.final.BWF

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in ``results.json``."""
        stages = [stage.to_json() for stage in self.stages]
        return {**asdict(self), "stages": stages, "final": stages[-1], "zero_shot": stages[0]}


def make_results(run: "Run") -> Results:
    """The results of a run's recorded stages.

    Raises:
        StructAlignError: no stage is recorded, or one between others is missing.
    """
    stages = run.stages()
    if not stages:
        raise StructAlignError(f"run {run.path} has no finished task yet; train it first")
    if missing := sorted(set(range(1, max(stages))) - set(stages)):
        raise StructAlignError(
            f"{run.stage_file(missing[0])} is missing; 'eval --again {run.path}' computes it again"
        )
    recorded = list(stages.values())
    figures, settings = task_matrices(recorded), run.settings
    matrix = figures[f"t2v/{settings.gallery}/task"]
    categories = run.stream.categories[: len(recorded)]
    classes = [len(names) for names in categories]
    zero_shot = recorded[-1]["zero_shot"]
    start: dict[str, Any] = {"stage": 0, "geometry": None, "seconds": 0.0, **zero_shot}
    by_gallery = {name: figures[f"t2v/{name}/task"]["R@1"] for name in ("stored", "reencoded")}
    rows = [
        StageResults(
            stage=index,
            **{name: stage[name] for name in OVERALL},
            BWF=backward_forgetting(matrix["R@1"], classes, index),
            BWF_stored=backward_forgetting(by_gallery["stored"], classes, index),
            BWF_reencoded=backward_forgetting(by_gallery["reencoded"], classes, index),
            BWT=backward_transfer(matrix["R@1"], index),
            FWT=forward_transfer(figures["t2v/ahead/task"]["R@1"], index),
            task_average=task_average(matrix["R@1"], index),
            zero_shot=stage.get("zero_shot", zero_shot)["t2v"],
            geometry=stage["geometry"],
            seconds=stage["seconds"],
            of_scores={metric.name: stage.get(metric.name) for metric in SCORE_METRICS},
        )
        for index, stage in enumerate([start, *recorded])
    ]
    gallery, backbone = settings.gallery, run.backbone
    copies = equal_clips(
        (clip.id, run.stream.caches[task - 1].content(clip))
        for task in range(1, len(recorded) + 1)
        for clip in run.stream.eval_clips(task)
    )
    return Results(
        **{name: run.config[name] for name in COPIED},
        tasks=len(recorded),
        selection=settings.selection,
        evaluated_on=_evaluated_on(run, len(recorded)),
        backbone={
            "name": backbone.name,
            "pretrained": backbone.pretrained,
            "random_weights": backbone.random,
            "cut": backbone.cut_name,
        },
        coverage=run.stream.coverage(len(recorded)),
        quarantined=[row for cache in run.caches for row in cache.quarantined()],
        categories=[list(names) for names in categories],
        parts=_parts(run.stream.caches[: len(recorded)]),
        matrix={metric.key: matrix[metric.name] for metric in METRICS},
        stages=rows,
        final=rows[-1],
        zero_shot=rows[0],
        gallery=gallery,
        scope={
            **dict.fromkeys(("matrix", "BWF", "BWT", "FWT", "task_average"), "task"),
            "stages": "seen",
        },
        galleries={
            **dict.fromkeys(("matrix", "BWF", "BWT", "task_average"), gallery),
            "BWF_stored": "stored",
            "BWF_reencoded": "reencoded",
            "FWT": "ahead",
            "stages": "stored",
        },
        ties=(rows[-1].ties or {"t2v": 0})["t2v"],
        equal_clips=sum(map(len, copies)),
        warnings=_warnings(run, recorded, copies),
        figures=figures,
    )


def _parts(caches: Sequence["FeatureCache"]) -> list[dict[str, Any]]:
    """Each cache of a stream with its tasks' numbers, from the caches task by task."""
    parts: dict[str, dict[str, Any]] = {}
    for number, cache in enumerate(caches, 1):
        about = {"fingerprint": cache.fingerprint, "dataset": cache.catalog.dataset, "tasks": []}
        parts.setdefault(cache.fingerprint, about)["tasks"].append(number)
    return list(parts.values())


def _evaluated_on(run: "Run", tasks: int) -> str:
    if run.settings.eval_split == "heldout":
        return "held-out training clips"
    is_learnt = [run.stream.is_evaluated_on_training_clips(n) for n in range(1, tasks + 1)]
    learnt = "clips that were learnt" if all(is_learnt) else "test, and clips that were learnt"
    return learnt if any(is_learnt) else "test"


def _warnings(
    run: "Run", recorded: Sequence[Mapping[str, Any]], copies: list[list[str]]
) -> list[str]:
    """What a reader of the figures should know about the clips behind them."""
    numbers, stream = range(1, len(recorded) + 1), run.stream
    clips = [clip for number in numbers for clip in stream.eval_clips(number)]
    untested = [number for number in numbers if stream.is_evaluated_on_training_clips(number)]
    last = recorded[-1]  # version 0.3 wrote "doubts"
    learnt = [clip for number in numbers for clip in stream.train_clips(number)]
    captions = (text for clip in dict.fromkeys([*learnt, *clips]) for text in clip.captions)
    truncated = run.backbone.tokenizer().truncation_warning(captions)
    equal = equal_clips_warning(copies, f"{len(clips)} evaluated clips")
    of_stage = last.get("warnings", last.get("doubts", ()))
    warnings = [shared_captions(clips), equal, truncated, *of_stage]
    if untested:
        which = ", ".join(map(str, untested[:9])) + ", ..." * (len(untested) > 9)
        warnings.append(
            f"tasks without test clips ({which}): their figures are over the clips that were "
            "learnt, and say nothing about new ones"
        )
    return [line for line in warnings if line]


def save_results(run: "Run") -> Results:
    """Write ``results.json`` into the run, and ``evaluated.json``: the state it was computed from.

    The caller holds the run's lease. Raises StructAlignError if no stage is recorded.
    """
    results = make_results(run)
    text = json.dumps(results.to_json(), indent=1) + "\n"
    write_text(run.path / RESULTS, text)
    _, run_sha256 = run.checksums
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    state = {**_state(run.path), RESULTS_SHA256: sha256, RUN_SHA256: run_sha256}
    write_text(run.path / EVALUATED, signed_text(state))
    return results


def read_results(run: Path) -> dict[str, Any]:
    """A run's ``results.json``. Raises StructAlignError: it is missing or damaged."""
    try:
        for wait in (0.01, 0.1, 1.0, None):  # it is written, and then its checksum
            body = read_bytes(run / RESULTS)
            if _is_as_written(run, body):
                break
            if wait is None:
                raise ValueError("it is not as it was written")
            time.sleep(wait)
        results = dict(parse_json(body.decode()))
        if not {"method", "dataset", "tasks", "seed", "stages", "final", "matrix"} <= set(results):
            raise ValueError("keys are missing")
        results.setdefault("warnings", results.pop("doubts", []))  # version 0.3's word
    except FileNotFoundError as error:
        raise StructAlignError(
            f"run {run} has no results yet; train it to its end ('train' resumes it)"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise StructAlignError(
            f"{run / RESULTS} is damaged ({error}); 'eval {run}' computes it again"
        ) from error
    return results


def is_up_to_date(run: Path) -> bool:
    """Whether this version computed a run's results and none of its files has changed since."""
    state = _read_state(run)
    return state.items() >= _state(run).items()


def _is_as_written(run: Path, body: bytes) -> bool:
    """Whether these are the results that were written, as far as that is known."""
    (first, run_sha256), state = RunFolder(run).checksums, _read_state(run)
    if first > 1 and RESULTS_SHA256 not in state:
        return True  # of version 0.3
    sha256 = hashlib.sha256(body).hexdigest()
    return (state.get(RESULTS_SHA256), state.get(RUN_SHA256)) == (sha256, run_sha256)


def _read_state(run: Path) -> dict[str, Any]:
    """What ``evaluated.json`` says; nothing where it is missing, damaged or of version 0.3."""
    try:
        return parse_signed_text(read_bytes(run / EVALUATED).decode())
    except (OSError, ValueError):
        return {}


def _state(run: Path) -> dict[str, Any]:
    """Version, and size and modification time of every file that results follow from."""
    from importlib.metadata import version

    from .. import __version__

    files = [
        *sorted(run.glob("tasks/*/*")),
        *sorted(run.glob("stages/*")),
        run / "config.json",
        run / RESULTS,
    ]
    there = [file for file in files if file.exists()]
    stats = {file.relative_to(run).as_posix(): file.stat() for file in there}
    return {
        "version": [__version__, version("torch")],
        "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
    }

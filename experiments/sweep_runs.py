"""The runs of a sweep: finished ones are read, the others trained through Ray, side by side."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..cache.reader import FeatureCache
from ..core.console import Progress
from ..core.defaults import CHECKPOINT_EVERY
from ..core.errors import StructAlignError
from ..core.files import write_text
from ..core.ray_session import ray_session
from ..evaluate.metrics import METRICS, SCORE_METRICS, ScoreMetric
from ..evaluate.results import Results, StageResults, is_up_to_date, make_results
from ..train.runs.create import create_run
from ..train.runs.folder import TRACEBACK
from ..train.runs.run import Run
from ..train.task_plan import Tasks
from .driver import train_and_measure

SHOWN_FAILURES = 3
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal, in Ray's tracebacks


def _of_metric(name: str) -> Callable[[StageResults], float | None]:
    return lambda final: (final.t2v or {}).get(name)


def _of_scores(metric: ScoreMetric) -> Callable[[StageResults], float | None]:
    return lambda final: (final.of_scores[metric.name] or {}).get(metric.value)


FIGURES: dict[str, Callable[[StageResults], float | None]] = {
    **{metric.name: _of_metric(metric.name) for metric in METRICS},
    "BWF": lambda final: final.BWF_stored,
    "BWF re-enc.": lambda final: final.BWF_reencoded,
    "FWT": lambda final: final.FWT,
    "task_average": lambda final: final.task_average,
    **{metric.name: _of_scores(metric) for metric in SCORE_METRICS},
}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, as a worker needs it; ``row`` is the method's name in the table."""

    cache: str
    method: str
    row: str
    tasks: Tasks
    order: str | None
    seed: int
    folder: str
    settings: Mapping[str, Any]


class SweepRuns(ExitStack):
    """Gives the figures of planned runs, on one core or one GPU (``device`` cuda) each.

    Ray starts once, with the first run to be trained, and ends with the context.
    """

    def __init__(self, device: str, ray_address: str | None, progress: Progress) -> None:
        super().__init__()
        self.device, self.ray_address, self.progress = device, ray_address, progress

    def figures(self, plan: Sequence[PlannedRun]) -> list[dict[str, Any]]:
        """A row for every run, in order. When one fails, the others continue.

        Raises StructAlignError: once all have ended: which failed, and why.
        """
        rows: dict[int, dict[str, Any]] = {}
        failed: dict[int, str] = {}
        for index, row in self._ended(plan):
            if isinstance(row, str):
                failed[index] = row
            else:
                rows[index] = row
            detail = f"{len(failed)} failed" if failed else ""
            self.progress(len(rows) + len(failed), len(plan), detail)
        if failed:
            reasons = [f"{Path(plan[i].folder).name}: {failed[i]}" for i in sorted(failed)]
            if (left := len(failed) - SHOWN_FAILURES) > 0:
                reasons[SHOWN_FAILURES:] = [f"and {left} more"]
            raise StructAlignError(
                f"{len(failed)} of {len(plan)} runs failed, the others are kept and not done "
                f"again: {'; '.join(reasons)}"
            )
        return [rows[index] for index in range(len(plan))]

    def _ended(self, plan: Sequence[PlannedRun]) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Index in the plan, and figures or the reason that there are none, as runs end."""
        left = []
        for index, planned in enumerate(plan):
            if (row := _kept(planned)) is not None:
                yield index, row
            else:
                left.append(index)
        if not left:
            return
        ray = self._ray
        from ray.exceptions import RayError, RayTaskError

        gpus = int(self.device == "cuda")
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(_train_and_measure)
        pending = {remote.remote(plan[index], self.device): index for index in left}
        while pending:
            (reference,), _ = ray.wait(list(pending), num_returns=1)
            index = pending.pop(reference)
            try:
                row = ray.get(reference)
            except RayTaskError as error:  # whatever a person's own method raises
                row = _failed(plan[index], error)
            except RayError as error:
                row = str(error).strip().splitlines()[0]
            yield index, row

    @cached_property
    def _ray(self) -> ModuleType:
        """Ray, started. Raises StructAlignError where cuda is wanted and no node has a GPU."""
        ray = self.enter_context(ray_session(self.ray_address))
        if self.device == "cuda" and not ray.cluster_resources().get("GPU"):
            raise StructAlignError("no node of this Ray cluster has a GPU; take --device cpu")
        return ray


def _kept(planned: PlannedRun) -> dict[str, Any] | str | None:
    """A finished run's figures, or why it has none; None where it still needs a worker."""
    if not is_up_to_date(Path(planned.folder)):
        return None
    try:
        run = _create(planned, "cpu")  # nothing is computed
        results = make_results(run)
    except (StructAlignError, OSError) as error:
        return str(error)
    return _row(planned, run, results) if run.finished >= len(run.parts[0].tasks) else None


def _failed(planned: PlannedRun, error: Any) -> str:
    """Write the traceback of a worker's exception into the run's folder; why there is no row."""
    file = Path(planned.folder) / TRACEBACK
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, COLOURS.sub("", str(error)) + "\n")
    what = f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
    return f"{what} (traceback in {file})"


def _train_and_measure(planned: PlannedRun, device: str) -> dict[str, Any] | str:
    """Train one run in a worker: its figures as one row, or the reason that there are none."""
    if device == "cpu":
        torch.set_num_threads(1)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        run = _create(planned, device)
        (run.path / TRACEBACK).unlink(missing_ok=True)
        results = train_and_measure(run, None, CHECKPOINT_EVERY, _quiet, _quiet)
    except (StructAlignError, OSError) as error:
        return str(error)
    except SystemExit as error:  # of a person's own method: Ray would keep nothing of it
        raise RuntimeError(f"the method's file called exit: {error}") from error
    return _row(planned, run, results)


def _create(planned: PlannedRun, device: str) -> Run:
    """The run in its folder, or a new one there."""
    return create_run(
        FeatureCache.open(planned.cache), planned.method, planned.tasks, planned.seed,
        planned.folder, device=device, settings=planned.settings, log=_quiet,
        order=planned.order,
    )  # fmt: skip


def _quiet(*_: object) -> None:
    """Show nothing."""


def _row(planned: PlannedRun, run: Run, results: Results) -> dict[str, Any]:
    """A run's figures as one row of the table."""
    # A run may have been appended to since: rows compare the planned stream alone.
    final = results.stages[len(run.parts[0].tasks)]
    return {
        "method": planned.row, "cache": run.cache.fingerprint, "seed": planned.seed,
        "order": planned.order, **{name: read(final) for name, read in FIGURES.items()},
        "run": planned.folder,
    }  # fmt: skip

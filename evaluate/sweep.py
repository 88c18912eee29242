"""Many runs side by side: every method on every cache with every seed, and their means.

Settings may be chosen for each method first, by held-out training clips, with equal tries.
"""

import csv
import functools
import itertools
import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..cache.reader import FeatureCache
from ..cache.runtime.errors import StructAlignError
from ..cache.runtime.progress import Progress, ProgressLine
from ..cache.runtime.ray_session import ray_session
from ..cache.shared.files import write_text
from ..train.loop import CHECKPOINT_EVERY
from ..train.methods.registry import load_method
from ..train.runs.create import create_run, run_name
from ..train.runs.run import Run
from ..train.task_plan import SHUFFLED, Tasks, task_count
from .results import Results, StageResults, is_up_to_date, make_results
from .stages import train_and_measure

SHOWN_FAILURES = 3
HELDOUT = 0.25  # of each category's training clips, kept aside while settings are chosen

FIGURES: dict[str, Callable[[StageResults], float | None]] = {
    "R@1": lambda final: (final.t2v or {}).get("R@1"),
    "R@5": lambda final: (final.t2v or {}).get("R@5"),
    "R@10": lambda final: (final.t2v or {}).get("R@10"),
    "MedR": lambda final: (final.t2v or {}).get("MedR"),
    "BWF": lambda final: final.BWF_stored,
    "BWF re-enc.": lambda final: final.BWF_reencoded,
    "FWT": lambda final: final.FWT,
    "task_average": lambda final: final.task_average,
    "twins": lambda final: final.twins["told_apart"] if final.twins else None,
}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, as a worker needs it; ``row`` is what it counts as in the table."""

    cache: str
    method: str
    row: str
    tasks: Tasks
    order: str | None
    seed: int
    device: str
    folder: str
    settings: Mapping[str, Any]


def sweep(
    caches: Sequence[FeatureCache],
    methods: Sequence[str],
    seeds: Sequence[int],
    tasks: Tasks,
    out: Path,
    *,
    orders: Sequence[int] = (),
    grid: Mapping[str, Sequence[Any]] | None = None,
    choose_on: FeatureCache | None = None,
    device: str = "cpu",
    ray_address: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every combination through Ray, one core (or one GPU) each; finished runs are kept.

    ``orders`` are seeds of class orders, each a run of its own; without them categories arrive in
    the catalog's order. ``grid`` has values by setting (``a+b`` gives several settings the same):
    every combination is a row of its own, or, with ``choose_on``, every method tries all of them on
    that cache and runs with the one of the highest R@1 over held-out training clips; all tries are
    recorded. Leaves ``sweep.json`` and ``sweep.csv`` in ``out``. When a run fails, the others go
    on. Ray is started once, and not at all when every run is finished.

    Raises:
        StructAlignError: an unknown method or setting, one that is in the grid and in ``settings``,
            or no such device, before anything runs; at the end, which runs failed, and why.
    """
    tell = progress or ProgressLine("sweep", "runs", quiet=False)
    methods, seeds = list(dict.fromkeys(methods)), list(dict.fromkeys(seeds))
    shuffles: list[str | None] = [f"{SHUFFLED}{order}" for order in dict.fromkeys(orders)]
    changes, common = _combinations(grid or {}), dict(settings or {})
    if twice := [key for keys in grid or {} for key in keys.split("+") if key in common]:
        raise StructAlignError(f"setting {twice[0]} is in the grid and set for all; give it once")

    def planned(
        cache: FeatureCache, method: str, row: str, seed: int, order: str | None, folder: Path,
        values: Mapping[str, Any],
    ) -> PlannedRun:  # fmt: skip
        name, shown = (
            load_method(one, cache.spec.dataset, cache.spec.backbone, values).name
            for one in (method, row)
        )
        at = str((folder / run_name(cache, name, tasks, seed, order)).resolve())
        return PlannedRun(cache.reference, method, shown, tasks, order, seed, device, at, values)

    rows = [(method + change, method + change) for method in methods for change in changes]
    choice: dict[str, Any] | None = None
    with ExitStack() as opened:
        start_ray = functools.cache(lambda: opened.enter_context(ray_session(ray_address)))
        if choose_on is not None:
            heldout = {"eval_split": "heldout", "heldout": HELDOUT, "eval_every": task_count(tasks)}
            tries = [
                planned(choose_on, method, row, seeds[0], None, out / "tries", common | heldout)
                for method, row in rows
            ]
            found = _choose(methods, changes, _all_finished(tries, device, start_ray, tell))
            choice = {
                "cache": choose_on.fingerprint, "seed": seeds[0], "heldout": HELDOUT, **found
            }  # fmt: skip
            rows = [(method + found["chosen"][method], method) for method in methods]
        plan = [
            planned(cache, method, row, seed, order, out, common)
            for seed, order, cache, (method, row) in itertools.product(
                seeds, shuffles or [None], caches, rows
            )
        ]
        runs = _all_finished(plan, device, start_ray, tell)
    body = {
        "tasks": tasks,
        "seeds": seeds,
        "orders": list(orders),
        "caches": [cache.fingerprint for cache in caches],
        "choice": choice,
        "methods": summarise(runs),
        "runs": runs,
    }
    write_text(out / "sweep.json", json.dumps(body, indent=1) + "\n")
    with (out / "sweep.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(runs[0]))
        table.writeheader()
        table.writerows(runs)
    return body


def _combinations(grid: Mapping[str, Sequence[Any]]) -> list[str]:
    """Every combination of a grid's values, as the changes that a method's name carries."""
    axes = [
        ["".join(f":{key}={value}" for key in keys.split("+")) for value in values]
        for keys, values in grid.items()
    ]
    return ["".join(changes) for changes in itertools.product(*axes)]


def _choose(
    methods: Sequence[str], changes: Sequence[str], tries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Each method's best changes by R@1 of its tries; the first of equals."""
    found = zip(itertools.product(methods, changes), tries, strict=True)
    listed = [
        {"method": method, "changes": change, "R@1": one["R@1"], "run": one["run"]}
        for (method, change), one in found
    ]
    chosen = {
        method: max((one for one in listed if one["method"] == method), key=lambda one: one["R@1"])
        for method in methods
    }
    return {"chosen": {m: one["changes"] for m, one in chosen.items()}, "tries": listed}


def _all_finished(
    plan: list[PlannedRun], device: str, start_ray: Callable[[], ModuleType], tell: Progress
) -> list[dict[str, Any]]:
    """The figures of every run. Raises StructAlignError when some failed, once all have ended."""
    rows, failed = _run_all(plan, device, start_ray, tell)
    if failed:
        named = sorted(failed.items())[:SHOWN_FAILURES]
        told = "; ".join(f"{Path(plan[i].folder).name}: {reason}" for i, reason in named)
        left = len(failed) - len(named)
        more = f"; and {left} more" if left else ""
        raise StructAlignError(
            f"{len(failed)} of {len(plan)} runs failed, "
            f"the others are kept and not done again: {told}{more}"
        )
    return [rows[index] for index in range(len(plan))]


def _run_all(
    plan: list[PlannedRun], device: str, start_ray: Callable[[], ModuleType], tell: Progress
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Figures by place in the plan, and why there are none. Ray starts for runs to be trained."""
    rows: dict[int, dict[str, Any]] = {}
    failed: dict[int, str] = {}

    def ended(index: int, row: dict[str, Any] | str) -> None:
        if isinstance(row, str):
            failed[index] = row
        else:
            rows[index] = row
        done = len(rows) + len(failed)
        tell(done, len(plan), f"{len(failed)} failed" if failed else "")

    for index, planned in enumerate(plan):
        if row := _kept(planned):
            ended(index, row)
    left = [index for index in range(len(plan)) if index not in rows and index not in failed]
    if not left:
        return rows, failed
    ray = start_ray()
    from ray.exceptions import RayError, RayTaskError

    if device == "cuda" and not ray.cluster_resources().get("GPU"):
        raise StructAlignError("no node of this Ray cluster has a GPU; take --device cpu")
    gpus = int(device == "cuda")
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(_train_and_measure)
    pending = {remote.remote(plan[index]): index for index in left}
    while pending:
        (reference,), _ = ray.wait(list(pending), num_returns=1)
        index = pending.pop(reference)
        try:
            ended(index, ray.get(reference))
        except RayTaskError:
            raise  # an error that a run is not expected to make
        except RayError as error:
            ended(index, str(error).strip().splitlines()[0])
    return rows, failed


def _kept(planned: PlannedRun) -> dict[str, Any] | str | None:
    """What a run that needs no worker gives: its figures, if finished and measured, as it was."""
    if not is_up_to_date(Path(planned.folder)):
        return None
    try:
        run = _create(replace(planned, device="cpu"))  # nothing is computed
        results = make_results(run)
    except (StructAlignError, OSError) as error:
        return str(error)
    return _row(planned, run, results) if run.finished >= len(run.parts[0].tasks) else None


def _train_and_measure(planned: PlannedRun) -> dict[str, Any] | str:
    """One run in a worker: its figures as one row, or why there are none."""
    if planned.device == "cpu":
        torch.set_num_threads(1)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        run = _create(planned)
        results = train_and_measure(run, None, CHECKPOINT_EVERY, _quiet, _quiet)
    except (StructAlignError, OSError) as error:
        return str(error)
    return _row(planned, run, results)


def _create(planned: PlannedRun) -> Run:
    """The run in its folder, or a new one there."""
    return create_run(
        FeatureCache.open(planned.cache), planned.method, planned.tasks, planned.seed,
        planned.folder, device=planned.device, settings=planned.settings, note=_quiet,
        order=planned.order,
    )  # fmt: skip


def _quiet(*_: object) -> None:
    """Tell nobody."""


def _row(planned: PlannedRun, run: Run, results: Results) -> dict[str, Any]:
    """A run's figures as one row of the table."""
    # A run may have been appended to: what is compared is the stream that was asked for.
    final = results.stages[len(run.parts[0].tasks)]
    figures = {name: read(final) for name, read in FIGURES.items()}
    found = {
        "method": planned.row, "cache": run.cache.fingerprint, "seed": planned.seed,
        "order": planned.order,
    }  # fmt: skip
    return {**found, **figures, "run": planned.folder}


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per method and figure: mean and sample standard deviation over runs, None where missing."""
    out: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(run["method"] for run in runs):
        mine = [run for run in runs if run["method"] == method]
        out[method] = {"runs": len(mine)}
        for name in FIGURES:
            values = [run[name] for run in mine if run[name] is not None]
            mean = statistics.fmean(values) if values else None
            sd = statistics.stdev(values) if len(values) > 1 else None
            out[method][name] = {"mean": mean, "sd": sd}
    return out


def sweep_table(body: Mapping[str, Any]) -> str:
    """Mean ± sd per method."""
    width = max(len("method"), *map(len, body["methods"]))
    lines = [f"{'method':<{width}}  runs  " + "".join(f"{name:>15}" for name in FIGURES)]
    for method, figures in body["methods"].items():
        cells = ""
        for name in FIGURES:
            mean, sd = figures[name]["mean"], figures[name]["sd"]
            text = "" if mean is None else f"{mean:.2f}"
            cells += f"{text if sd is None else f'{text} ± {sd:.2f}':>15}"
        lines.append(f"{method:<{width}}  {figures['runs']:>4}  {cells}")
    choice = body.get("choice")
    if choice is not None:
        lines += ["", f"chosen on {choice['cache'][:12]} by R@1 over held-out training clips:"]
        for method, changes in choice["chosen"].items():
            tried = [f"{one['R@1']:.2f}" for one in choice["tries"] if one["method"] == method]
            lines.append(f"{method:<{width}}  {changes[1:]}  (tries: {', '.join(tried)})")
    return "\n".join(lines)

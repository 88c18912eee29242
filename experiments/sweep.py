"""Many runs side by side: every method on every cache with every seed, and their means.

Settings may be chosen for each method first, by held-out training clips, with equal tries.
"""

import csv
import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cache.reader import FeatureCache
from ..core.console import Progress, ProgressLine, text_table
from ..core.errors import StructAlignError
from ..core.files import write_text
from ..train.methods.registry import absolute_method, load_method
from ..train.runs.create import run_name
from ..train.task_plan import SHUFFLED, Tasks
from .sweep_runs import FIGURES, PlannedRun, SweepRuns

HELDOUT = 0.25  # of each category's training clips, kept aside while settings are chosen


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

    When a run fails, the others continue. Ray starts once, and not at all if every run is finished.
    Arguments are those of ``verbs.sweep``, with caches opened; methods may have settings after
    colons, as in ``structalign:replay_weight=0``. Each combination of the grid is a row of its own,
    unless every method first tries them all on ``choose_on``. Returns what ``sweep.json`` holds.

    Raises:
        StructAlignError: before anything runs: an unknown method or setting, a setting both in the
            grid and in ``settings``, or no such device; at the end: which runs failed, and why.
    """
    report = progress or ProgressLine("sweep", "runs", quiet=False)
    methods, seeds = list(dict.fromkeys(methods)), list(dict.fromkeys(seeds))
    shuffles: list[str | None] = [f"{SHUFFLED}{order}" for order in dict.fromkeys(orders)]
    changes, common = _combinations(grid or {}), dict(settings or {})
    if twice := [key for keys in grid or {} for key in keys.split("+") if key in common]:
        raise StructAlignError(f"setting {twice[0]} is in the grid and set for all; give it once")

    def planned(
        cache: FeatureCache, method: str, row: str, seed: int, order: str | None, folder: Path,
        values: Mapping[str, Any],
    ) -> PlannedRun:  # fmt: skip
        name, row_name = (
            load_method(spelled, cache.spec.dataset, cache.spec.backbone, values).name
            for spelled in (method, row)
        )
        path = str((folder / run_name(cache, name, tasks, seed, order)).resolve())
        found = absolute_method(method)  # a worker of a Ray that was joined has its own folder
        return PlannedRun(cache.reference, found, row_name, tasks, order, seed, path, values)

    rows = [(method + change, method + change) for method in methods for change in changes]
    choice: dict[str, Any] | None = None
    with SweepRuns(device, ray_address, report) as trained:
        if choose_on is not None:
            count = tasks if isinstance(tasks, int) else len(tasks)
            heldout = {"eval_split": "heldout", "heldout": HELDOUT, "eval_every": count}
            tries = [
                planned(choose_on, method, row, seeds[0], None, out / "tries", common | heldout)
                for method, row in rows
            ]
            choice = {
                "cache": choose_on.fingerprint, "seed": seeds[0], "heldout": HELDOUT,
                **_choose(methods, changes, trained.figures(tries)),
            }  # fmt: skip
            rows = [(method + choice["chosen"][method], method) for method in methods]
        plan = [
            planned(cache, method, row, seed, order, out, common)
            for seed, order, cache, (method, row) in itertools.product(
                seeds, shuffles or [None], caches, rows
            )
        ]
        runs = trained.figures(plan)
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
    """Every combination of a grid's values, in the form that follows a method's name."""
    axes = [
        ["".join(f":{key}={value}" for key in keys.split("+")) for value in values]
        for keys, values in grid.items()
    ]
    return ["".join(changes) for changes in itertools.product(*axes)]


def _choose(
    methods: Sequence[str], changes: Sequence[str], tries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Each method's best changes by R@1 of its tries; the first of equals."""
    named = zip(itertools.product(methods, changes), tries, strict=True)
    listed = [
        {"method": method, "changes": change, "R@1": row["R@1"], "run": row["run"]}
        for (method, change), row in named
    ]
    best = {
        method: max((row for row in listed if row["method"] == method), key=lambda row: row["R@1"])
        for method in methods
    }
    return {"chosen": {m: row["changes"] for m, row in best.items()}, "tries": listed}


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and sample standard deviation over runs, by method and figure; None where missing."""
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
    """A printed table: a row per method with mean ± standard deviation, and what was chosen."""
    rows: list[list[str]] = [["method", "runs", *FIGURES]]
    for method, figures in body["methods"].items():
        cells = [_mean_and_sd(**figures[name]) for name in FIGURES]
        rows.append([method, str(figures["runs"]), *cells])
    lines = [text_table(rows, "<>")]
    choice = body.get("choice")
    if choice is not None:
        lines += ["", f"chosen on {choice['cache'][:12]} by R@1 over held-out training clips:"]
        chosen = []
        for method, changes in choice["chosen"].items():
            tried = [f"{run['R@1']:.2f}" for run in choice["tries"] if run["method"] == method]
            chosen.append([method, changes[1:], f"(tries: {', '.join(tried)})"])
        lines.append(text_table(chosen))
    return "\n".join(lines)


def _mean_and_sd(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.2f}" if sd is None else f"{mean:.2f} ± {sd:.2f}"

"""Many runs side by side: every method on every cache with every seed, and their means."""

import csv
import itertools
import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
from ..train.task_plan import SHUFFLED, Tasks
from .results import StageResults
from .stages import train_and_measure

SHOWN_FAILURES = 3

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
    """One run of a sweep, as a worker needs it."""

    cache: str
    method: str
    name: str
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
    device: str = "cpu",
    ray_address: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every combination through Ray, one core (or one GPU) each; finished runs are kept.

    ``orders`` are seeds of class orders, each a run of its own; without them categories arrive in
    the catalog's order. ``grid`` makes a method of every combination of the values of settings.
    Leaves ``sweep.json`` and ``sweep.csv`` in ``out``. When a run fails, the others go on.

    Raises:
        StructAlignError: an unknown method or setting, or no such device, before anything runs;
            at the end, which runs failed, and why.
    """
    tell = progress or ProgressLine("sweep", "runs", quiet=False)
    methods, seeds = list(dict.fromkeys(_with_grid(methods, grid))), list(dict.fromkeys(seeds))
    shuffles: list[str | None] = [f"{SHUFFLED}{order}" for order in dict.fromkeys(orders)]
    plan = []
    for seed, order, cache, method in itertools.product(seeds, shuffles or [None], caches, methods):
        spec = cache.spec
        name = load_method(method, spec.dataset, spec.backbone, settings).name
        folder = str((out / run_name(cache, name, tasks, seed, order)).resolve())
        known = PlannedRun(
            cache.reference, method, name, tasks, order, seed, device, folder, settings or {}
        )
        plan.append(known)
    rows, failed = _run_all(plan, device, ray_address, tell)
    if failed:
        named = sorted(failed.items())[:SHOWN_FAILURES]
        told = "; ".join(f"{Path(plan[i].folder).name}: {reason}" for i, reason in named)
        left = len(failed) - len(named)
        more = f"; and {left} more" if left else ""
        raise StructAlignError(
            f"{len(failed)} of {len(plan)} runs failed, "
            f"the others are kept and not done again: {told}{more}"
        )
    runs = [rows[index] for index in range(len(plan))]
    body = {
        "tasks": tasks,
        "seeds": seeds,
        "orders": list(orders),
        "caches": [cache.fingerprint for cache in caches],
        "methods": summarise(runs),
        "runs": runs,
    }
    write_text(out / "sweep.json", json.dumps(body, indent=1) + "\n")
    with (out / "sweep.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(runs[0]))
        table.writeheader()
        table.writerows(runs)
    return body


def _with_grid(methods: Sequence[str], grid: Mapping[str, Sequence[Any]] | None) -> list[str]:
    """Methods by name, with every combination of the grid's values."""
    axes = [[f":{key}={value}" for value in values] for key, values in (grid or {}).items()]
    return [f"{method}{''.join(changes)}" for method in methods
            for changes in itertools.product(*axes)]  # fmt: skip


def _run_all(
    plan: list[PlannedRun], device: str, ray_address: str | None, tell: Progress
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Figures by place in the plan, and why there are none."""
    rows: dict[int, dict[str, Any]] = {}
    failed: dict[int, str] = {}
    with ray_session(ray_address) as ray:
        from ray.exceptions import RayError, RayTaskError

        if device == "cuda" and not ray.cluster_resources().get("GPU"):
            raise StructAlignError("no node of this Ray cluster has a GPU; take --device cpu")
        gpus = int(device == "cuda")
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(_train_and_measure)
        pending = {remote.remote(planned): index for index, planned in enumerate(plan)}
        while pending:
            (reference,), _ = ray.wait(list(pending), num_returns=1)
            index = pending.pop(reference)
            try:
                row = ray.get(reference)
            except RayTaskError:
                raise  # an error that a run is not expected to make
            except RayError as error:
                row = str(error).strip().splitlines()[0]
            (failed if isinstance(row, str) else rows)[index] = row
            done = len(rows) + len(failed)
            tell(done, len(plan), f"{len(failed)} failed" if failed else "")
    return rows, failed


def _train_and_measure(planned: PlannedRun) -> dict[str, Any] | str:
    """One run in a worker: its figures as one row, or why there are none."""
    if planned.device == "cpu":
        torch.set_num_threads(1)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    quiet: Callable[..., None] = lambda *_: None  # noqa: E731
    try:
        cache = FeatureCache.open(planned.cache)
        run = create_run(
            cache, planned.method, planned.tasks, planned.seed, planned.folder,
            device=planned.device, settings=planned.settings, note=quiet, order=planned.order,
        )  # fmt: skip
        results = train_and_measure(run, None, CHECKPOINT_EVERY, quiet, quiet)
        # A run may have been appended to: what is compared is the stream that was asked for.
        final = results.stages[len(run.parts[0].tasks)]
    except (StructAlignError, OSError) as error:
        return str(error)
    figures = {name: read(final) for name, read in FIGURES.items()}
    found = {
        "method": planned.name, "cache": cache.fingerprint, "seed": planned.seed,
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
    return "\n".join(lines)

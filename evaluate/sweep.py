"""Many runs side by side: every method on every cache with every seed, and their means."""

import csv
import json
import os
import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from cache.errors import StructAlignError
from cache.files import write_text
from cache.store import FeatureCache
from evaluate.continual import default_run_name, run_continual
from train.settings import Recipe, resolve

RaySession = Callable[[], AbstractContextManager[ModuleType]]

TOLD = 3  # failures that are named

FIGURES: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "R@1": lambda final: final["t2v"]["R@1"],
    "R@5": lambda final: final["t2v"]["R@5"],
    "R@10": lambda final: final["t2v"]["R@10"],
    "MedR": lambda final: final["t2v"]["MedR"],
    "BWF": lambda final: final["BWF_stored"],
    "BWF re-enc.": lambda final: final["BWF_reencoded"],
    "FWT": lambda final: final["FWT"],
    "task_average": lambda final: final["task_average"],
    "twins": lambda final: final["twins"]["told_apart"] if final["twins"] else None,
}


def sweep(
    caches: list[FeatureCache], methods: list[str], seeds: list[int], tasks: int, overrides: Mapping[str, str], device: str, out: Path,
    session: RaySession, finished: Callable[[int, int, str], None],
) -> dict[str, Any]:  # fmt: skip
    """Run every combination through Ray, one core (or one GPU) each; runs that are there are kept. Leaves sweep.json and sweep.csv in ``out``.

    ``session`` starts or joins Ray and yields its module. When a run fails, the others go on.

    Raises:
        StructAlignError: an unknown method or setting, or no such device, before anything runs; at the end, which runs failed, and why.
    """
    methods, seeds = list(dict.fromkeys(methods)), list(dict.fromkeys(seeds))
    plan = [(cache, resolve(cache.catalog.dataset, method, overrides), seed) for seed in seeds for cache in caches for method in methods]
    folders = [(out / default_run_name(cache, recipe.name, tasks, seed)).resolve() for cache, recipe, seed in plan]
    rows: dict[int, dict[str, Any]] = {}
    failed: dict[int, str] = {}
    with session() as ray:
        from ray.exceptions import RayError, RayTaskError

        if device == "cuda" and not ray.cluster_resources().get("GPU"):
            raise StructAlignError("no node of this Ray cluster has a GPU; take --device cpu")
        remote = ray.remote(num_cpus=1, num_gpus=int(device == "cuda"), max_retries=1)(_one)
        pending = {
            remote.remote(cache.reference, recipe, tasks, seed, device, folder): index
            for index, ((cache, recipe, seed), folder) in enumerate(zip(plan, folders, strict=True))
        }
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
            finished(len(rows) + len(failed), len(plan), f"{len(failed)} failed" if failed else "")
    if failed:
        told = "; ".join(f"{folders[index].name}: {reason}" for index, reason in sorted(failed.items())[:TOLD])
        more = f"; and {len(failed) - TOLD} more" if len(failed) > TOLD else ""
        raise StructAlignError(f"{len(failed)} of {len(plan)} runs failed, the others are kept and not done again: {told}{more}")
    runs = [rows[index] for index in range(len(plan))]
    body = {"tasks": tasks, "seeds": seeds, "caches": [cache.fingerprint for cache in caches], "methods": summarise(methods, runs), "runs": runs}
    write_text(out / "sweep.json", json.dumps(body, indent=1) + "\n")
    with (out / "sweep.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(runs[0]))
        table.writeheader()
        table.writerows(runs)
    return body


def summarise(methods: list[str], runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per method and figure: mean and sample standard deviation over runs (None where a figure does not exist)."""
    out: dict[str, dict[str, Any]] = {}
    for method in methods:
        mine = [run for run in runs if run["method"] == method]
        out[method] = {"runs": len(mine)}
        for name in FIGURES:
            values = [run[name] for run in mine if run[name] is not None]
            mean = statistics.fmean(values) if values else None
            out[method][name] = {"mean": mean, "sd": statistics.stdev(values) if len(values) > 1 else None}
    return out


def sweep_table(body: dict[str, Any]) -> str:
    """Mean ± sd per method."""
    width = max(len("method"), *map(len, body["methods"]))
    lines = [f"{'method':<{width}}  runs  " + "".join(f"{name:>15}" for name in FIGURES)]
    for method, figures in body["methods"].items():
        cells = ""
        for name in FIGURES:
            mean, sd = figures[name]["mean"], figures[name]["sd"]
            text = "" if mean is None else f"{mean:.2f}" if sd is None else f"{mean:.2f} ± {sd:.2f}"
            cells += f"{text:>15}"
        lines.append(f"{method:<{width}}  {figures['runs']:>4}  {cells}")
    return "\n".join(lines)


def _one(reference: str, recipe: Recipe, tasks: int, seed: int, device: str, out: Path) -> dict[str, Any] | str:
    """One run in a worker: its figures as one row, or why there are none."""
    if device == "cpu":
        torch.set_num_threads(1)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    quiet: Callable[..., None] = lambda *_: None  # noqa: E731
    try:
        cache = FeatureCache.open(reference)
        results = run_continual(cache, recipe, tasks, seed, torch.device(device), out, False, quiet, quiet)
    except (StructAlignError, OSError) as error:
        return str(error)
    figures = {name: read(results["final"]) for name, read in FIGURES.items()}
    return {"method": recipe.name, "cache": cache.fingerprint, "seed": seed, **figures, "run": str(out)}

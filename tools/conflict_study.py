"""All methods on demo worlds with growing conflict: a table with intervals, and its figures.

python -m structalign.tools.conflict_study --out FOLDER [--cache-root DIR] [--seeds 0,1,2]

Three amounts of conflict, two worlds, three seeds, each with a class order of its own. Every method
first tries the same learning rates at each amount of conflict on the first world; the best by its
held-out training clips is taken for both worlds. Given again it goes on; runs that are there are
kept. Leaves ``study.json``, ``study.md``, ``recall.svg`` and ``forgetting.svg``.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..cache.shared.files import write_text
from ..evaluate.intervals import FIGURES, Interval, Outcomes, PairedBootstrap, read_outcomes
from ..evaluate.report.line_chart import line_chart
from ..evaluate.report.svg import standalone
from ..evaluate.results import read_results
from ..evaluate.sweep import sweep
from ..extract import extract

METHODS = (
    "zeroshot", "clip4clip", "xpool", "lwf", "vr_lwf", "zscl", "moe_adapter",
    "framefusionmoe", "finetune", "crp-only", "structalign:replay_weight=0", "structalign",
    "joint",
)  # clip_vip is not among them: it needs caches that are cut at 0  # fmt: skip
DRAWN = ("zeroshot", "finetune", "lwf", "zscl", "crp-only", "structalign", "joint")
REFERENCE = "finetune"
CONFLICTS, WORLDS, SEEDS = (0.0, 0.5, 1.0), (0, 1), (0, 1, 2)
RATES = {"lr_text+lr_vision+lr_other": ("3e-4", "8e-4", "2e-3")}
TASKS = 10

Cells = dict[float, dict[str, dict[str, Interval]]]


def run_study(
    out: Path, cache_root: str | None, methods: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    """Extract the worlds, choose, run everything; the choice, and all runs with their conflict."""
    caches = {
        (conflict, world): extract("demo", seed=world, conflict=conflict, cache_root=cache_root)
        for conflict in CONFLICTS
        for world in WORLDS
    }
    chosen: dict[float, dict[str, Any]] = {}
    for conflict in CONFLICTS:
        first = caches[conflict, WORLDS[0]]
        chosen[conflict] = sweep(
            [first], methods, seeds[:1], TASKS, out / "runs", orders=seeds[:1], grid=RATES,
            choose_on=first, settings={"eval_every": TASKS},
        )["choice"]  # fmt: skip
    found: list[dict[str, Any]] = []
    for seed, conflict in itertools.product(seeds, CONFLICTS):
        rows = {method + chosen[conflict]["chosen"][method]: method for method in methods}
        body = sweep(
            [caches[conflict, world] for world in WORLDS], list(rows), [seed], TASKS,
            out / "runs", orders=[seed], settings={"eval_every": TASKS},
        )  # fmt: skip
        found += [
            {**run, "method": rows[run["method"]], "conflict": conflict} for run in body["runs"]
        ]
    return {"choices": chosen, "runs": found, "seconds": sum(map(seconds_of, found))}


def seconds_of(row: Mapping[str, Any]) -> float:
    """Seconds that one core trained and measured a run."""
    folder = Path(row["run"])
    log = folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    stages = read_results(folder)["stages"]
    return float(
        sum(line.get("seconds", 0) for line in lines) + sum(stage["seconds"] for stage in stages)
    )


def intervals(runs: Sequence[Mapping[str, Any]]) -> Cells:
    """By conflict, method and figure: 95% intervals, and those of the difference to finetune."""
    cells: Cells = {}
    for conflict in sorted({run["conflict"] for run in runs}):
        mine = [run for run in runs if run["conflict"] == conflict]
        outcomes: dict[str, dict[tuple[str, str], Outcomes]] = {}
        for run in mine:
            categories = read_results(Path(run["run"]))["categories"]
            place = (run["cache"], str(run["seed"]))
            outcomes.setdefault(run["method"], {})[place] = read_outcomes(
                Path(run["run"]), categories
            )
        bootstrap = PairedBootstrap(outcomes, torch.Generator().manual_seed(0))
        cells[conflict] = {
            method: {
                **{name: bootstrap.interval(name, method) for name in FIGURES},
                **{
                    f"{name} against {REFERENCE}": bootstrap.interval(name, method, REFERENCE)
                    for name in FIGURES
                },
            }
            for method in outcomes
        }
    return cells


def table(cells: Cells) -> str:
    """Markdown: a table for each amount of conflict."""
    parts = []
    columns = ["R@1", "R@10", "BWF", f"R@1 against {REFERENCE}", f"BWF against {REFERENCE}"]
    for conflict, methods in cells.items():
        lines = [
            f"Conflict {conflict:g}",
            "",
            f"| method | {' | '.join(columns)} |",
            "| --- " * (len(columns) + 1) + "|",
        ]
        for method, figures in methods.items():
            told = [
                "" if method == "joint" and "BWF" in name
                else "" if method == REFERENCE and "against" in name
                else shown(figures[name])
                for name in columns
            ]  # fmt: skip
            lines.append(f"| {method} | {' | '.join(told)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def shown(one: Interval) -> str:
    """A value with its interval."""
    return f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]".replace("-", "−")


def figure(cells: Cells, name: str, label: str) -> str:
    """One figure over conflict, a line a method."""
    series = {
        method: [methods[method][name].value for methods in cells.values()]
        for method in DRAWN
        if all(method in methods for methods in cells.values())
        and not (method == "joint" and name == "BWF")
    }
    names = [f"{conflict:g}" for conflict in cells]
    return standalone(line_chart(f"{name} over conflict", series, names, "conflict", label))


def main() -> None:
    """Run what is missing, then write the table and the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache-root")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    methods = list(dict.fromkeys([*given.methods.split(","), REFERENCE]))
    body = run_study(given.out, given.cache_root, methods, seeds)
    cells = intervals(body["runs"])
    found = {
        str(conflict): {
            method: {name: vars(one) for name, one in figures.items()}
            for method, figures in methods.items()
        }
        for conflict, methods in cells.items()
    }
    write_text(given.out / "study.json", json.dumps({**body, "intervals": found}, indent=1) + "\n")
    write_text(given.out / "study.md", table(cells))
    write_text(given.out / "recall.svg", figure(cells, "R@1", "R@1, percent"))
    write_text(given.out / "forgetting.svg", figure(cells, "BWF", "BWF, points"))
    print(table(cells))
    hours = body["seconds"] / 3600
    print(f"{len(body['runs'])} runs, {hours:.1f} hours of one core", file=sys.stderr)


if __name__ == "__main__":
    main()

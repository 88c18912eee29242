"""All methods on demo worlds with growing conflict: a table with intervals, and its figures.

python -m structalign.tools.conflict_study --out FOLDER [--cache-root DIR] [--seeds 0,1,2]
    [--methods M,...] [--against METHOD]

Three amounts of conflict, two worlds, three seeds, each with a class order of its own. Every method
first tries the same learning rates at each amount of conflict on the first world; the best by its
held-out training clips is taken for both worlds. Given again it goes on; runs that are there are
kept. Leaves the tries in ``choices.json``, what every caption found in ``seed-N.parquet``, and
``study.md``, ``recall.svg`` and ``forgetting.svg``. With the tries and the seeds' files alone it
goes on too, on another machine as well.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..cache.reader import FeatureCache
from ..cache.runtime.errors import StructAlignError
from ..cache.shared.files import read_json, write_text
from ..evaluate.intervals import FIGURES, Interval, Outcomes, PairedBootstrap, read_outcomes
from ..evaluate.report.line_chart import line_chart
from ..evaluate.report.svg import standalone
from ..evaluate.results import read_results
from ..evaluate.sweep import sweep
from ..extract import extract
from .study_outcomes import Measured, read_measured, write_measured

METHODS = (
    "zeroshot", "clip4clip", "xpool", "lwf", "vr_lwf", "zscl", "moe_adapter",
    "framefusionmoe", "finetune", "crp-only", "structalign:replay_weight=0", "structalign",
    "joint",
)  # clip_vip is not among them: it needs caches that are cut at 0  # fmt: skip
DRAWN = ("zeroshot", "finetune", "lwf", "zscl", "crp-only", "structalign", "joint")
CONFLICTS, WORLDS, SEEDS = (0.0, 0.5, 1.0), (0, 1), (0, 1, 2)
RATES = {"lr_text+lr_vision+lr_other": ("3e-4", "8e-4", "2e-3")}
TASKS = 10

Cells = dict[float, dict[str, dict[str, Interval]]]
Worlds = dict[tuple[float, int], FeatureCache]


def run_study(
    out: Path, cache_root: str | None, methods: Sequence[str], seeds: Sequence[int]
) -> tuple[list[Measured], float]:
    """Choose, and run the seeds that are missing; all seeds' outcomes, and hours of one core.

    Raises:
        StructAlignError: the folder's seeds were measured without one of the methods.
    """
    files = {seed: out / f"seed-{seed}.parquet" for seed in seeds}
    if missing := [seed for seed in seeds if not files[seed].exists()]:
        worlds: Worlds = {
            (conflict, world): extract("demo", seed=world, conflict=conflict, cache_root=cache_root)
            for conflict in CONFLICTS
            for world in WORLDS
        }
        chosen = choose(out, worlds, methods, seeds[0])
        for seed in missing:
            run_seed(out, files[seed], worlds, chosen, seed)
    read = [read_measured(file) for file in files.values()]
    measured = [run for runs, _ in read for run in runs if run.method in methods]
    if absent := [name for name in methods if not any(run.method == name for run in measured)]:
        raise StructAlignError(f"the seeds in {out} were measured without {absent[0]}")
    return measured, sum(facts["seconds"] for _, facts in read) / 3600


def choose(
    out: Path, worlds: Worlds, methods: Sequence[str], seed: int
) -> dict[float, dict[str, str]]:
    """By conflict and method: the settings with the highest R@1 over held-out training clips.

    Raises:
        StructAlignError: the folder's tries were made without one of the methods.
    """
    path = out / "choices.json"
    if not path.exists():
        choices = {}
        for conflict in CONFLICTS:
            first = worlds[conflict, WORLDS[0]]
            choices[str(conflict)] = sweep(
                [first], methods, [seed], TASKS, out / "runs", orders=[seed], grid=RATES,
                choose_on=first, settings={"eval_every": TASKS},
            )["choice"]  # fmt: skip
        write_text(path, json.dumps(choices, indent=1) + "\n")
    chosen = {float(conflict): one["chosen"] for conflict, one in read_json(path).items()}
    tried = set.intersection(*map(set, chosen.values()))
    if absent := [name for name in methods if name not in tried]:
        raise StructAlignError(f"the tries in {path} were made without {absent[0]}")
    return chosen


def run_seed(
    out: Path, path: Path, worlds: Worlds, chosen: dict[float, dict[str, str]], seed: int
) -> None:
    """Run every method at every amount of conflict with one seed; write what its captions found."""
    measured: list[Measured] = []
    seconds = 0.0
    for conflict, settings in chosen.items():
        rows = {method + changes: method for method, changes in settings.items()}
        body = sweep(
            [worlds[conflict, world] for world in WORLDS], list(rows), [seed], TASKS,
            out / "runs", orders=[seed], settings={"eval_every": TASKS},
        )  # fmt: skip
        for run in body["runs"]:
            folder = Path(run["run"])
            outcomes = read_outcomes(folder, read_results(folder)["categories"])
            measured.append(Measured(conflict, run["cache"], seed, rows[run["method"]], outcomes))
            seconds += seconds_of(folder)
    write_measured(path, measured, {"seconds": seconds, "chosen": chosen})


def seconds_of(folder: Path) -> float:
    """Seconds that one core trained and measured a run."""
    log = folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    stages = read_results(folder)["stages"]
    return float(
        sum(line.get("seconds", 0) for line in lines) + sum(stage["seconds"] for stage in stages)
    )


def intervals(measured: Sequence[Measured], reference: str) -> Cells:
    """By conflict, method and figure: 95% intervals, also of the difference to ``reference``."""
    cells: Cells = {}
    for conflict in sorted({run.conflict for run in measured}):
        outcomes: dict[str, dict[tuple[str, str], Outcomes]] = {}
        for run in measured:
            if run.conflict == conflict:
                place = (run.cache, str(run.seed))
                outcomes.setdefault(run.method, {})[place] = run.outcomes
        bootstrap = PairedBootstrap(outcomes, torch.Generator().manual_seed(0))
        cells[conflict] = {
            method: {
                **{name: bootstrap.interval(name, method) for name in FIGURES},
                **{
                    f"{name} against {reference}": bootstrap.interval(name, method, reference)
                    for name in FIGURES
                },
            }
            for method in outcomes
        }
    return cells


def table(cells: Cells, reference: str) -> str:
    """Markdown: a table for each amount of conflict."""
    parts = []
    columns = ["R@1", "R@10", "BWF", f"R@1 against {reference}", f"BWF against {reference}"]
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
                else "" if method == reference and "against" in name
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the table and the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache-root")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--against", default="finetune", metavar="METHOD")
    given = parser.parse_args(arguments)
    seeds = [int(seed) for seed in given.seeds.split(",")]
    methods = list(dict.fromkeys([*given.methods.split(","), given.against]))
    measured, hours = run_study(given.out, given.cache_root, methods, seeds)
    cells = intervals(measured, given.against)
    written = table(cells, given.against)
    write_text(given.out / "study.md", written)
    write_text(given.out / "recall.svg", figure(cells, "R@1", "R@1, percent"))
    write_text(given.out / "forgetting.svg", figure(cells, "BWF", "BWF, points"))
    print(written)
    print(f"{len(measured)} runs, {hours:.1f} hours of one core", file=sys.stderr)


if __name__ == "__main__":
    main()

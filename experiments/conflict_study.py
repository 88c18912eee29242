"""All methods on demo worlds with growing conflict: a table with intervals, and its figures.

python -m structalign.experiments.conflict_study --out FOLDER [--cache-root DIR] [--seeds 0,1,2]
    [--methods M,...] [--against METHOD]

Three amounts of conflict, two worlds, three seeds, each with a class order of its own. Every method
first tries the same learning rates at each amount of conflict on the first world; the best on its
held-out training clips is used for both worlds. Writes the tries to ``choices.json``, every
caption's outcome to ``seed-N.parquet``, and ``study.md``, ``recall.svg`` and ``forgetting.svg``.
The same command resumes: from the runs, or from the tries and the seeds' files alone, on another
machine too. A method that they lack, your own too, is tried, run and compared with the others; your
own counts as another method once its file has changed.
"""

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from ..cache.reader import FeatureCache
from ..core.files import read_json, write_text
from ..evaluate.bootstrap import Interval, Outcomes, PairedBootstrap, read_outcomes
from ..evaluate.report.charts import line_chart, standalone
from ..evaluate.report.finished_runs import read_runs
from ..evaluate.report.formatting import bounds, number
from ..extract import extract
from ..train.methods.registry import load_method
from .study_outcomes import FIGURES, Measured, read_measured, write_measured
from .sweep import sweep

METHODS = (
    "zeroshot", "clip4clip", "xpool", "clip_vip", "lwf", "vr_lwf", "zscl", "moe_adapter",
    "framefusionmoe", "finetune", "crp-only", "structalign:replay_weight=0", "structalign",
    "joint",
)  # fmt: skip
CUTS = {"clip_vip": 0}  # the only cut it can train from
DRAWN = ("zeroshot", "finetune", "lwf", "zscl", "crp-only", "structalign", "joint")
CONFLICTS, WORLDS, SEEDS = (0.0, 0.5, 1.0), (0, 1), (0, 1, 2)
RATES = {"lr_text+lr_vision+lr_other": ("3e-4", "8e-4", "2e-3")}
TASKS = 10

Cells = dict[float, dict[str, dict[str, Interval]]]
World = Callable[[float, int, int | None], FeatureCache]  # of conflict, the world's seed and a cut


def named(methods: Sequence[str]) -> dict[str, str]:
    """Methods by their names in a study's files: your own with the start of its file's hash."""
    configs = {method: load_method(method, "demo", "demo") for method in methods}
    return {
        config.name + (f"@{config.file_hash[:8]}" if config.file_hash else ""): method
        for method, config in configs.items()
    }


def run_study(
    out: Path, world: World, methods: Mapping[str, str], seeds: Sequence[int]
) -> tuple[list[Measured], float]:
    """Choose and run what the folder lacks; returns the methods' outcomes and core hours."""
    measured: list[Measured] = []
    seconds = 0.0
    for seed in seeds:
        path = out / f"seed-{seed}.parquet"
        runs, facts = read_measured(path) if path.exists() else ([], {"seconds": 0.0})
        measured_already = {run.method for run in runs}
        if missing := {n: method for n, method in methods.items() if n not in measured_already}:
            added, more = run_seed(out, world, missing, choose(out, world, missing), seed)
            runs, facts = [*runs, *added], {"seconds": facts["seconds"] + more}
            write_measured(path, runs, facts)
        measured += [run for run in runs if run.method in methods]
        seconds += facts["seconds"]
    return measured, seconds / 3600


def choose(out: Path, world: World, methods: Mapping[str, str]) -> dict[float, dict[str, str]]:
    """The settings with the highest R@1 over held-out training clips, by conflict and method."""
    path = out / "choices.json"
    known = read_json(path) if path.exists() else {}
    choices = {
        conflict: known.get(str(conflict), {"chosen": {}, "tries": []}) for conflict in CONFLICTS
    }
    for conflict, choice in choices.items():
        for cut, names in by_cut(n for n in methods if n not in choice["chosen"]).items():
            first = world(conflict, WORLDS[0], cut)
            own_names = {methods[name]: name for name in names}
            made = sweep(
                [first], list(own_names), [SEEDS[0]], TASKS, out / "runs", orders=[SEEDS[0]],
                grid=RATES, choose_on=first, settings={"eval_every": TASKS},
            )["choice"]  # fmt: skip
            common = {key: made[key] for key in ("cache", "seed", "heldout")}
            for row in made["tries"]:  # without its folder, which another machine lacks
                tried = {"method": own_names[row["method"]], "changes": row["changes"]}
                choice["tries"].append({**tried, "R@1": row["R@1"], **common})
            choice["chosen"] |= {own_names[m]: change for m, change in made["chosen"].items()}
            write_text(path, json.dumps(choices, indent=1) + "\n")
    return {
        conflict: {name: choice["chosen"][name] for name in methods}
        for conflict, choice in choices.items()
    }


def run_seed(
    out: Path, world: World, methods: Mapping[str, str], chosen: dict[float, dict[str, str]],
    seed: int,
) -> tuple[list[Measured], float]:  # fmt: skip
    """Run methods with chosen settings at every amount of conflict: outcomes and core seconds."""
    measured: list[Measured] = []
    seconds = 0.0
    for conflict, settings in chosen.items():
        for cut, names in by_cut(methods).items():
            body = sweep(
                [world(conflict, number, cut) for number in WORLDS],
                [methods[name] + settings[name] for name in names], [seed], TASKS,
                out / "runs", orders=[seed], settings={"eval_every": TASKS},
            )  # fmt: skip
            planned = itertools.product(WORLDS, names)
            for run, (world_seed, name) in zip(body["runs"], planned, strict=True):
                (finished,) = read_runs([Path(run["run"])])
                outcomes = read_outcomes(finished.path, finished.results["categories"])
                measured.append(Measured(conflict, world_seed, run["cache"], seed, name, outcomes))
                seconds += finished.trained + sum(finished.evaluated)
    return measured, seconds


def by_cut(names: Iterable[str]) -> dict[int | None, list[str]]:
    """Methods by the cut of the cache that they need."""
    groups: dict[int | None, list[str]] = {}
    for name in names:
        groups.setdefault(cut_of(name), []).append(name)
    return groups


def cut_of(method: str) -> int | None:
    """The cut that a method needs, None for the demo preset's."""
    return CUTS.get(method.split(":", maxsplit=1)[0])


def bootstrap_cells(measured: Sequence[Measured], methods: Sequence[str], reference: str) -> Cells:
    """By conflict, method and figure: 95% intervals, also of the difference to ``reference``."""
    cells: Cells = {}
    for conflict in sorted({run.conflict for run in measured}):
        outcomes: dict[str, dict[tuple[str, str], Outcomes]] = {name: {} for name in methods}
        for run in measured:
            if run.conflict == conflict:
                outcomes[run.method][str(run.world), str(run.seed)] = run.outcomes
        bootstrap = PairedBootstrap(outcomes, torch.Generator().manual_seed(0))
        cells[conflict] = {
            method: {
                name + suffix: bootstrap.interval(name, method, other)
                for suffix, other in (("", None), (f" against {reference}", reference))
                for name in FIGURES
            }
            for method in outcomes
        }
    return cells


def table(cells: Cells, reference: str) -> str:
    """Markdown: a table for each amount of conflict."""
    parts = []
    columns = ["R@1", "R@10", "BWF", f"R@1 against {reference}", f"BWF against {reference}"]
    for conflict, methods in cells.items():
        head = f"| method | {' | '.join(columns)} |"
        lines = [f"Conflict {conflict:g}", "", head, "| --- " * (len(columns) + 1) + "|"]
        for method, figures in methods.items():
            values = [
                "" if method == "joint" and "BWF" in name
                else "" if method == reference and "against" in name
                else f"{number(figures[name].value)} {bounds(figures[name])}"
                for name in columns
            ]  # fmt: skip
            name = method if cut_of(method) is None else f"{method}, cut {cut_of(method)}"
            lines.append(f"| {name} | {' | '.join(values)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def figure(cells: Cells, name: str, label: str) -> str:
    """A chart of one figure over conflict: some of this study's methods, and every other method."""
    series = {
        method: [methods[method][name].value for methods in cells.values()]
        for method in next(iter(cells.values()))
        if (method in DRAWN or method not in METHODS) and not (method == "joint" and name == "BWF")
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
    args = parser.parse_args(arguments)
    seeds = [int(seed) for seed in args.seeds.split(",")]
    methods = named([*args.methods.split(","), args.against])
    against = next(iter(named([args.against])))
    world = functools.cache(
        lambda conflict, number, cut: extract(
            "demo", seed=number, conflict=conflict, cut=cut, cache_root=args.cache_root
        )
    )
    measured, hours = run_study(args.out, world, methods, seeds)
    cells = bootstrap_cells(measured, list(methods), against)
    written = table(cells, against)
    write_text(args.out / "study.md", written)
    write_text(args.out / "recall.svg", figure(cells, "R@1", "R@1, percent"))
    write_text(args.out / "forgetting.svg", figure(cells, "BWF", "BWF, points"))
    print(written)
    print(f"{len(measured)} runs, {hours:.1f} hours of one core", file=sys.stderr)


if __name__ == "__main__":
    main()

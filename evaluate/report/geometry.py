"""Diagnostics: angles between classes, drift of old tasks, use of experts, gates."""

from typing import Any

from .charts import Line
from .finished_runs import FinishedRun
from .layout import (
    Groups,
    Read,
    bar_figure,
    grid,
    heat_figure,
    line_figure,
    means,
    section,
    task_names,
    task_numbers,
)
from .tables import html_table, mean, number


def _geometry(run: FinishedRun, stage: int) -> dict[str, Any]:
    """The diagnostics of a stage; of the last for -1."""
    last = len(run.results["stages"]) - 1
    return run.stage(last if stage < 0 else stage).get("geometry") or {}


def simplex(groups: Groups, first: dict[str, Any]) -> str:
    """How far class means are from a simplex, stage by stage."""
    names = task_names(groups)
    head = ["method (first seed, last stage)", "classes", "ideal", "least", "quarter", "median",
            "three quarters", "greatest"]  # fmt: skip
    parts = []
    for side in ("text", "video"):

        def deviation(run: FinishedRun, stage: int, side: str = side) -> float | None:
            return (_geometry(run, stage).get(side) or {}).get("deviation")

        rows = []
        for method, runs in groups.items():
            if last := _geometry(runs[0], first["tasks"]).get(side):
                cosines = [number(value, 3) for value in (last["ideal"], *last["quantiles"])]
                rows.append([method, str(last["classes"]), *cosines])
        axes = ("after", "rms deviation of the cosines")
        parts.append(
            line_figure(
                f"deviation from the simplex, {side}",
                means(groups, task_numbers(first), deviation), names, axes,
                f"{side.capitalize()}: how far class means are from a simplex.", 3,
                html_table(head, rows),
            )
        )  # fmt: skip
    text = (
        "Cosines between the centred means of the seen classes' test embeddings (captions by their "
        "own task's path, clips as stored). In a simplex equiangular tight frame of C classes each "
        "is -1 / (C - 1); shown is the root mean square deviation from that. Lower is nearer."
    )
    return section("Against the ideal simplex", text, grid(*parts))


def drift(groups: Groups, first: dict[str, Any]) -> str:
    """How alike old clips are, as stored and encoded again."""
    tasks, later = task_names(groups)[:-1], task_numbers(first)[1:]
    names = [f"+ {name}" for name in task_names(groups)[1:]]
    parts = []
    for method, runs in groups.items():
        found = [[_geometry(run, stage).get("drift") or [] for run in runs] for stage in later]
        rows = [
            [mean([d[j] if j < len(d) else None for d in stage]) for j in range(len(tasks))]
            for stage in found
        ]
        caption = f"{method}: cosine of old clips, stored and encoded again."
        parts.append(heat_figure(f"drift of {method}", rows, names, tasks, caption, 3))
    text = (
        "Mean cosine between an old task's frame embeddings as stored and as the model of a later "
        "stage makes them. 1 is no drift."
    )
    return section("Drift of old tasks", text, grid(*parts))


def experts(groups: Groups) -> str:
    """Each task's use of the experts."""
    parts = []
    for method, runs in groups.items():
        last = [_geometry(run, -1).get("experts") or [] for run in runs]
        if not last[0]:
            continue
        tasks, experts = range(len(last[0])), range(len(last[0][0]))
        rows: list[Line] = [[mean([run[i][j] for run in last]) for j in experts] for i in tasks]
        names, columns = task_names({method: runs}), [f"expert {j + 1}" for j in experts]
        caption = f"{method}: share of each expert in a task's captions."
        parts.append(heat_figure(f"experts of {method}", rows, names, columns, caption, 2))
    text = (
        "Mean routing weight over text blocks and projections, last stage, up to 64 test captions "
        "a task. Task 1 uses its first expert alone."
    )
    return section("Use of the experts", text, grid(*parts))


def gates(groups: Groups) -> str:
    """How far each block's frame fusion is open."""
    adapted = {m: runs for m, runs in groups.items() if _geometry(runs[0], -1).get("gates")}
    blocks = sorted({int(b) for runs in adapted.values() for b in _geometry(runs[0], -1)["gates"]})
    gate: Read = lambda run, block: _geometry(run, -1)["gates"].get(str(block))  # noqa: E731
    series, names = means(adapted, blocks, gate), [f"vision block {block}" for block in blocks]
    caption = "Gate values by vision block."
    axes = ("block", "alpha")
    chart = bar_figure("gates of the frame fusion adapters", series, names, axes, caption, 4)
    text = (
        "How much of each block's attention comes from the neighbouring frame after the last task: "
        "alpha, which starts at 0."
    )
    return section("Frame fusion gates", text, chart and grid(chart))

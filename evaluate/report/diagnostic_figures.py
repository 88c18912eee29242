"""Diagnostics of the embeddings: angles between classes, drift of old tasks, experts, gates."""

from typing import Any

from .charts import Line
from .finished_runs import FinishedRun
from .formatting import mean, number
from .run_groups import RunGroups
from .sections import Section, Table, bar_figure, drawn, heat_figure, line_figure


def _geometry(run: FinishedRun, stage: int) -> dict[str, Any]:
    return run.stage(stage).get("geometry") or {}


def _last_geometry(run: FinishedRun) -> dict[str, Any]:
    return _geometry(run, run.tasks)


def _gates(run: FinishedRun) -> dict[str, float]:
    return _last_geometry(run).get("gates") or {}


def simplex(groups: RunGroups) -> Section:
    """How far class means are from a simplex, stage by stage."""
    head = ["method (first seed, last stage)", "classes", "ideal", "minimum", "quarter", "median",
            "three quarters", "maximum"]  # fmt: skip
    figures = []
    for side in ("text", "video"):

        def deviation(run: FinishedRun, stage: int, side: str = side) -> float | None:
            return (_geometry(run, stage).get(side) or {}).get("deviation")

        rows = []
        for method, runs in groups.by_method.items():
            if last := _geometry(runs[0], groups.tasks[-1]).get(side):
                cosines = [number(value, 3) for value in (last["ideal"], *last["quantiles"])]
                rows.append([method, str(last["classes"]), *cosines])
        figures.append(
            line_figure(
                f"deviation from the simplex, {side}", groups.means(groups.tasks, deviation),
                groups.task_names(), ("after", "rms deviation of the cosines"),
                f"{side.capitalize()}: how far class means are from a simplex.", 3,
                [Table(head, rows)],
            )
        )  # fmt: skip
    text = (
        "Cosines between the centred means of the seen classes' test embeddings (captions by their "
        "own task's route, clips as stored). In a simplex equiangular tight frame of C classes "
        "each cosine is -1 / (C - 1); the charts show the root mean square deviation from that. "
        "Lower is closer."
    )
    return Section("Against the ideal simplex", text, figures=drawn(*figures))


def drift(groups: RunGroups) -> Section:
    """How similar the stored embeddings of old clips are to newly encoded ones."""
    tasks = groups.task_names()
    names = [f"+ {name}" for name in tasks[1:]]
    figures = []
    for method, runs in groups.by_method.items():
        rows = []
        for stage in groups.tasks[1:]:
            cosines = [_geometry(run, stage).get("drift") or [] for run in runs]
            rows.append(
                [mean([c[j] if j < len(c) else None for c in cosines]) for j in range(len(names))]
            )
        caption = f"{method}: cosine of old clips, stored and encoded again."
        figures.append(heat_figure(f"drift of {method}", rows, names, tasks[:-1], caption, 3))
    text = (
        "Mean cosine between an old task's stored frame embeddings and those of the model at a "
        "later stage. 1 means no drift."
    )
    return Section("Drift of old tasks", text, figures=drawn(*figures))


def experts(groups: RunGroups) -> Section:
    """How much each task uses each expert."""
    figures = []
    for method, runs in groups.by_method.items():
        weights = [_last_geometry(run).get("experts") or [] for run in runs]
        if not weights[0]:
            continue
        tasks, experts = range(len(weights[0])), range(len(weights[0][0]))
        rows: list[Line] = [[mean([w[i][j] for w in weights]) for j in experts] for i in tasks]
        names, columns = groups.task_names(method), [f"expert {j + 1}" for j in experts]
        caption = f"{method}: share of each expert in a task's captions."
        figures.append(heat_figure(f"experts of {method}", rows, names, columns, caption, 2))
    text = (
        "Mean routing weight over text blocks and projections after the last task, for up to 64 "
        "test captions per task. Task 1 uses only its first expert."
    )
    return Section("Use of the experts", text, figures=drawn(*figures))


def gates(groups: RunGroups) -> Section:
    """How far each block's frame fusion is open."""
    fused = RunGroups({m: runs for m, runs in groups.by_method.items() if _gates(runs[0])})
    blocks = sorted({int(block) for run in fused.runs for block in _gates(run)})
    figure = bar_figure(
        "gates of the frame fusion adapters",
        fused.means(blocks, lambda run, block: _gates(run).get(str(block))),
        [f"vision block {block}" for block in blocks], ("block", "alpha"),
        "Gate values by vision block.", 4,
    )  # fmt: skip
    text = (
        "The weight of the neighbouring frame in each block's attention after the last task: "
        "alpha, which starts at 0."
    )
    return Section("Frame fusion gates", text, figures=drawn(figure))

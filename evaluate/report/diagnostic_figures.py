"""Diagnostics of the embeddings: angles between classes, drift of old tasks, experts, gates."""

from itertools import zip_longest

from .charts import Line
from .finished_runs import FinishedRun
from .formatting import mean, number
from .run_groups import RunGroups
from .sections import Section, Table, bar_figure, heat_figure, line_figure


def simplex(groups: RunGroups) -> Section:
    """How far class means are from a simplex, stage by stage."""
    head = ["method (first seed, last stage)", "classes", "ideal", "minimum", "quarter", "median",
            "three quarters", "maximum"]  # fmt: skip
    figures = []
    for side in ("text", "video"):

        def deviation(run: FinishedRun, stage: int, side: str = side) -> float | None:
            return (run.geometry(stage).get(side) or {}).get("deviation")

        rows = []
        for method, runs in groups.by_method.items():
            if last := runs[0].geometry(groups.tasks[-1]).get(side):
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
    return Section("Against the ideal simplex", text, figures=figures)


def drift(groups: RunGroups) -> Section:
    """How similar the stored embeddings of old clips are to newly encoded ones."""
    tasks = groups.task_names()
    names = [f"+ {name}" for name in tasks[1:]]
    figures = []
    for method, runs in groups.by_method.items():
        rows = []
        for stage in groups.tasks[1:]:
            cosines = [run.geometry(stage).get("drift") or [] for run in runs]
            by_task = zip_longest(names, *cosines)
            rows.append([mean(values) for _, *values in by_task])
        caption = f"{method}: cosine of old clips, stored and encoded again."
        figures.append(heat_figure(f"drift of {method}", rows, names, tasks[:-1], caption, 3))
    text = (
        "Mean cosine between an old task's stored frame embeddings and those of the model at a "
        "later stage. 1 means no drift."
    )
    return Section("Drift of old tasks", text, figures=figures)


def experts(groups: RunGroups) -> Section:
    """How much each task uses each expert."""
    figures = []
    for method, runs in groups.by_method.items():
        weights = [run.geometry(run.tasks).get("experts") or [] for run in runs]
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
    return Section("Use of the experts", text, figures=figures)


def gates(groups: RunGroups) -> Section:
    """How far each block's frame fusion is open."""

    def gates_of(run: FinishedRun) -> dict[str, float]:
        return run.geometry(run.tasks).get("gates") or {}

    fused = RunGroups({m: runs for m, runs in groups.by_method.items() if gates_of(runs[0])})
    blocks = sorted({int(block) for run in fused.runs for block in gates_of(run)})
    figure = bar_figure(
        "gates of the frame fusion adapters",
        fused.means(blocks, lambda run, block: gates_of(run).get(str(block))),
        [f"vision block {block}" for block in blocks], ("block", "alpha"),
        "Gate values by vision block.", 4,
    )  # fmt: skip
    text = (
        "The weight of the neighbouring frame in each block's attention after the last task: "
        "alpha, which starts at 0."
    )
    return Section("Frame fusion gates", text, figures=[figure])

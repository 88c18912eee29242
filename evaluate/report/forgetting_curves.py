"""Forgetting: what was learnt against what was lost, a curve per task, and the task matrix."""

from .charts import line_chart, scatter
from .finished_runs import FinishedRun
from .formatting import mean, number
from .run_groups import RunGroups
from .sections import Figure, Section, Table, bar_figure, heat_figure

MOST_CURVES = 24  # tasks


def trade_off(groups: RunGroups) -> Section:
    """What was learnt of each task when it came, against what was forgotten of it since."""
    points: dict[str, list[tuple[float, float]]] = {}
    for method, runs in groups.by_method.items():
        pairs = [(_learnt(run), run.results["final"]["BWF_stored"]) for run in runs]
        if measured := [(a, b) for a, b in pairs if a is not None and b is not None]:
            points[method] = measured
    rows = [
        [method, number(mean([a for a, _ in pairs]), 2), number(mean([b for _, b in pairs]), 2)]
        for method, pairs in points.items()
    ]
    figure = Figure(
        scatter(
            "learning against forgetting", points,
            "learnt: R@1 within a task when it was learnt, mean", "forgotten: BWF, points",
        ),
        "Small markers are runs, large ones the mean of a method. Above the black line old tasks "
        "gained.",
        [Table(["method", "learnt", "forgotten"], rows)],
    )  # fmt: skip
    text = (
        "Further right, the method learnt more of each task when it came; further up, it forgot "
        "less by the end. The bars show what each task lost."
    )
    title = "Learning against forgetting"
    return Section(title, text, figures=[figure, _loss_by_task(groups)])


def _learnt(run: FinishedRun) -> float | None:
    """Mean R@1 within each task just after it was learnt."""
    values = [run.recall(task, task) for task in range(1, run.tasks + 1)]
    return None if None in values else mean(values)


def _loss_by_task(groups: RunGroups) -> Figure:
    old, last = groups.tasks[:-1], groups.tasks[-1]
    return bar_figure(
        "forgetting by task",
        groups.continual.means(old, lambda run, task: run.lost(task, last)),
        groups.task_names()[:-1], ("task", "R@1 lost by the end, points (left of 0: gained)"),
        "R@1 within each task just after it was learnt, minus R@1 at the end.", 1,
    )  # fmt: skip


def curves(groups: RunGroups) -> Section:
    """R@1 within each task from the stage that learnt it on, a chart per task."""
    figures = []
    names = groups.task_names()
    for task in groups.tasks[:-1][:MOST_CURVES]:
        stages = groups.tasks[task - 1 :]

        def recall(run: FinishedRun, stage: int, task: int = task) -> float | None:
            return run.recall(task, stage)

        lines = groups.continual.means(stages, recall)
        if any(value is not None for line in lines.values() for value in line[1:]):
            name = names[task - 1]
            chart = line_chart(name, lines, [*map(str, stages)], "after task", "R@1, percent")
            figures.append(Figure(chart, name))
    is_cut = len(groups.tasks) - 1 > MOST_CURVES
    text = (
        "R@1 within each task, from the stage that learnt it to the end."
        + f" Only the first {MOST_CURVES} tasks are shown." * is_cut
    )
    return Section("Forgetting curves", text, figures=figures, has_small_cells=True)


def matrices(groups: RunGroups) -> Section:
    """R@1 of every task at every stage."""
    tasks = groups.task_names()
    names = ["zero-shot", *(f"+ {task}" for task in tasks)]
    figures = []
    for method, runs in groups.by_method.items():
        rows = [
            [mean([run.recall(task, stage) for run in runs]) for task in groups.tasks]
            for stage in (0, *groups.tasks)
        ]
        caption = f"{method}: R@1 within each task."
        figures.append(heat_figure(f"task matrix of {method}", rows, names, tasks, caption))
    text = (
        "Each column is a task, each row the model after the task that it names, with the "
        f"{groups.first['gallery']} embeddings of old clips. Reading down a column shows "
        "forgetting."
    )
    return Section("Task matrix", text, figures=figures)

"""Learning against forgetting: the plane, each task over time, bars, and the task matrix."""

from typing import Any

from .charts import line_chart, scatter
from .finished_runs import FinishedRun
from .layout import (
    Groups,
    bar_figure,
    cell,
    figure,
    grid,
    heat_figure,
    lost,
    means,
    section,
    task_names,
    task_numbers,
)
from .tables import html_table, mean, number

CURVES = 24  # tasks that get a curve of their own


def trade_off(groups: Groups, first: dict[str, Any]) -> str:
    """What was learnt of each task when it came, against what was forgotten of it since."""
    points: dict[str, list[tuple[float, float]]] = {}
    for method, runs in groups.items():
        found = [(learnt(run), run.results["final"]["BWF_stored"]) for run in runs]
        if known := [(a, b) for a, b in found if a is not None and b is not None]:
            points[method] = known
    rows = [
        [method, number(mean([a for a, _ in runs]), 2), number(mean([b for _, b in runs]), 2)]
        for method, runs in points.items()
    ]
    axes = ("learnt: R@1 within a task when it was learnt, mean", "forgotten: BWF, points")
    svg = scatter("learning against forgetting", points, *axes)
    caption = "Each run small, its method's mean large. Above the black line old tasks gained."
    chart = figure(svg, caption, html_table(["method", "learnt", "forgotten"], rows))
    text = (
        "Further right, more was learnt of each task when it came; further up, less of it was "
        "forgotten by the end. Beside it, what each task lost."
    )
    return section("Learning against forgetting", text, grid(chart, _by_task(groups, first)))


def learnt(run: FinishedRun) -> float | None:
    """Mean R@1 within each task just after it was learnt."""
    values = [cell(run, task, task) for task in task_numbers(run.results)]
    return mean(values) if None not in values else None


def curves(groups: Groups, first: dict[str, Any]) -> str:
    """R@1 within each task from when it was learnt on, a chart a task."""
    several = {m: runs for m, runs in groups.items() if runs[0].results["tasks"] > 1}
    old = [t for t in task_numbers(first)[:-1] if t <= CURVES]
    charts = []
    for task in old:
        stages = [stage for stage in task_numbers(first) if stage >= task]

        def at(run: FinishedRun, stage: int, task: int = task) -> float | None:
            return cell(run, stage, task)

        name, places = task_names(groups)[task - 1], [str(stage) for stage in stages]
        lines = means(several, stages, at)
        if not any(value is not None for line in lines.values() for value in line[1:]):
            continue
        svg = line_chart(name, lines, places, "after task", "R@1, percent")
        charts.append(figure(svg, name))
    more = f" Shown are the first {CURVES} tasks." * (first["tasks"] - 1 > CURVES)
    text = f"R@1 within each task, from the stage that learnt it to the end.{more}"
    return section("Each task over time", text, grid(*charts, kind="small"))


def _by_task(groups: Groups, first: dict[str, Any]) -> str:
    """What each task lost by the end, as bars."""

    def drop(run: FinishedRun, task: int) -> float | None:
        return lost(run, task, first["tasks"])

    old = task_numbers(first)[:-1]
    several = {m: runs for m, runs in groups.items() if runs[0].results["tasks"] > 1}
    series, names = means(several, old, drop), task_names(groups)[:-1]
    axes = ("task", "R@1 lost by the end, points (left of 0: gained)")
    caption = "R@1 within each task just after it was learnt, minus R@1 at the end."
    return bar_figure("forgetting by task", series, names, axes, caption, 1)


def matrices(groups: Groups, first: dict[str, Any]) -> str:
    """R@1 of every task at every stage."""
    tasks = task_names(groups)
    names, stages = ["zero-shot", *(f"+ {task}" for task in tasks)], [0, *task_numbers(first)]
    charts = []
    for method, runs in groups.items():
        rows = [
            [mean([cell(run, s, t) for run in runs]) for t in task_numbers(first)] for s in stages
        ]
        caption = f"{method}: R@1 within each task."
        charts.append(heat_figure(f"task matrix of {method}", rows, names, tasks, caption))
    text = (
        "A column is a task, a row the model after the task that the row names; old clips "
        f"{first['gallery']}. Reading down a column shows forgetting."
    )
    return section("Task matrix", text, grid(*charts))

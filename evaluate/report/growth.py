"""How a stream grew: when each cache came, and what every task cost the earlier ones."""

from typing import Any

from .charts import Line
from .finished_runs import FinishedRun
from .layout import (
    Groups,
    Read,
    bar_figure,
    cell,
    grid,
    heat_figure,
    lost,
    means,
    section,
    task_names,
    task_numbers,
)
from .tables import html_table, mean

TEXT = (
    "Lost since it was learnt: R@1 within a task just after it was learnt, minus R@1 at a later "
    "stage. The cost of a task: the mean of what the earlier ones lost at its stage."
)


def growth(groups: Groups, first: dict[str, Any]) -> str:
    """The section: caches, forgetting over time by task, what each task cost the others."""
    numbers = task_numbers(first)
    later = numbers[1:]
    tasks, added = task_names(groups)[:-1], task_names(groups)[1:]
    names = [f"+ {name}" for name in added]
    heats = []
    for method, runs in groups.items():
        rows: list[Line] = [
            [mean([lost(run, task, stage) for run in runs]) for task in numbers[:-1]]
            for stage in later
        ]
        caption = f"{method}: R@1 lost since each task was learnt."
        heats.append(heat_figure(f"lost over time, {method}", rows, names, tasks, caption))
    price: Read = cost
    costs = bar_figure(
        "the cost of each task", means(groups, later, price), added,
        ("task", "R@1 that earlier tasks lost by it, points"),
        "What learning a task cost the earlier ones, on average.", 1,
    )  # fmt: skip
    return section("How the stream grew", TEXT, _caches(groups), grid(costs, *heats))


def cost(run: FinishedRun, stage: int) -> float | None:
    """Mean points of R@1 that the earlier tasks lost from the stage before to ``stage``."""
    pairs = [(cell(run, stage - 1, task), cell(run, stage, task)) for task in range(1, stage)]
    drops = [a - b for a, b in pairs if a is not None and b is not None]
    return mean(drops) if len(drops) == len(pairs) else None


def _caches(groups: Groups) -> str:
    rows = []
    for runs in groups.values():
        for run in runs:
            dates = [part.get("date") or "" for part in run.config.get("parts", [])]
            for n, part in enumerate(run.results.get("parts", [])):
                span = [str(part["tasks"][0]), str(part["tasks"][-1])]
                which = " to ".join(dict.fromkeys(span))
                cache = f"{part['dataset']}, {part['fingerprint'][:12]}"
                rows.append([run.name, cache, dates[n] if n < len(dates) else "", which])
    return html_table(["run", "cache", "came (UTC)", "tasks"], rows) if rows else ""

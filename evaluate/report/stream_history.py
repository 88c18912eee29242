"""How a task stream grew: when each cache was added, and what every task cost the earlier ones."""

from .finished_runs import FinishedRun
from .formatting import mean
from .run_groups import RunGroups
from .sections import Section, Table, bar_figure, heat_figure


def stream_history(groups: RunGroups) -> Section:
    """The caches, what each task cost the others, and each task's loss stage by stage."""
    tasks = groups.task_names()
    later = groups.tasks[1:]
    costs = bar_figure(
        "the cost of each task", groups.means(later, _cost), tasks[1:],
        ("task", "R@1 that earlier tasks lost by it, points"),
        "What learning a task cost the earlier ones, on average.", 1,
    )  # fmt: skip
    heat_maps = [
        heat_figure(
            f"lost over time, {method}",
            [[mean([run.lost(task, stage) for run in runs]) for task in groups.tasks[:-1]]
             for stage in later],
            [f"+ {name}" for name in tasks[1:]], tasks[:-1],
            f"{method}: R@1 lost since each task was learnt.",
        )
        for method, runs in groups.by_method.items()
    ]  # fmt: skip
    text = (
        "A task's loss is its R@1 just after it was learnt, minus its R@1 at a later stage, both "
        "within the task. The cost of a task is what the earlier ones lost on average while it was "
        "learnt."
    )
    return Section("How the stream grew", text, _caches(groups), [costs, *heat_maps])


def _cost(run: FinishedRun, stage: int) -> float | None:
    """Mean points of R@1 that the earlier tasks lost from the stage before to ``stage``."""
    pairs = [(run.recall(task, stage - 1), run.recall(task, stage)) for task in range(1, stage)]
    losses = [a - b for a, b in pairs if a is not None and b is not None]
    return mean(losses) if len(losses) == len(pairs) else None


def _caches(groups: RunGroups) -> list[Table]:
    rows = []
    for run in groups.runs:
        for added, part in zip(run.config["parts"], run.results["parts"], strict=False):
            tasks = " to ".join(dict.fromkeys(str(part["tasks"][end]) for end in (0, -1)))
            cache = f"{part['dataset']}, {part['fingerprint'][:12]}"
            rows.append([run.name, cache, added.get("date") or "", tasks])
    return [Table(["run", "cache", "added (UTC)", "tasks"], rows)]

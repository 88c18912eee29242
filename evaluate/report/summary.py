"""The report's first sentences: the result, what was forgotten, and how sure both are."""

from collections.abc import Sequence
from html import escape
from typing import Any

import torch

from ...cache.runtime.errors import StructAlignError
from ..intervals import Interval, PairedBootstrap, read_outcomes
from .layout import Groups, lost, task_names, task_numbers
from .tables import mean, number


def paired_bootstrap(groups: Groups) -> tuple[PairedBootstrap | None, str]:
    """Resampled figures of all methods over the seeds that they share; else why there are none."""
    seeds = [{run.config["seed"] for run in runs} for runs in groups.values()]
    shared = set.intersection(*seeds)
    if not shared:
        return None, "No intervals: the methods share no seed."
    try:
        outcomes = {
            method: {
                (run.identity["cache"], str(run.config["seed"])): read_outcomes(
                    run.path, run.results["categories"]
                )
                for run in runs
                if run.config["seed"] in shared
            }
            for method, runs in groups.items()
        }
        return PairedBootstrap(outcomes, torch.Generator().manual_seed(0)), ""
    except StructAlignError as error:
        return None, f"No intervals: {error}."


def summary(
    groups: Groups, first: dict[str, Any], bootstrap: PairedBootstrap | None, reason: str
) -> str:
    """Three sentences in a paragraph of their own."""
    best = best_method(groups)
    told = [_result(groups, first, best, bootstrap), _forgetting(groups, first, best, bootstrap)]
    told.append(_certainty(groups, best, bootstrap) if bootstrap else reason)
    return f'<p class="summary">{escape(" ".join(filter(None, told)))}</p>'


def best_method(groups: Groups) -> str:
    """The method of the highest R@1 at the end, of those that learnt task by task if any did."""
    several = [m for m, runs in groups.items() if runs[0].results["tasks"] > 1] or list(groups)
    return max(several, key=lambda method: _recall(groups, method))


def _recall(groups: Groups, method: str) -> float:
    return mean([run.results["final"]["t2v"]["R@1"] for run in groups[method]]) or 0.0


def _result(
    groups: Groups, first: dict[str, Any], best: str, bootstrap: PairedBootstrap | None
) -> str:
    final, tasks = first["final"], first["tasks"]
    before = mean([run.stage(tasks)["zero_shot"]["R@1"] for run in groups[best]
                   if run.stage(tasks).get("zero_shot")])  # fmt: skip
    after = f"After {tasks} tasks" if tasks > 1 else "After one task"
    untrained = "" if before is None else f"the pre-trained model for {before:.1f}%, "
    return (
        f"{after} {best} puts the right clip first for {_recall(groups, best):.1f}% "
        f"{_bounds(_interval(bootstrap, 'R@1', best))}of {final['queries']} captions, "
        f"{untrained}chance for {100 / final['clips']:.2f}%."
    )


def _forgetting(
    groups: Groups, first: dict[str, Any], best: str, bootstrap: PairedBootstrap | None
) -> str:
    values = [run.results["final"]["BWF_stored"] for run in groups[best]]
    if (drop := mean(values)) is None:
        return ""
    bounds = _bounds(_interval(bootstrap, "BWF", best))
    old = task_numbers(first)[:-1]
    by_task = {t: mean([lost(run, t, first["tasks"]) for run in groups[best]]) for t in old}
    known = {task: value for task, value in by_task.items() if value is not None}
    worst = max(known, key=lambda task: known[task])
    name, most = task_names({best: groups[best]})[worst - 1], known[worst]
    said = "forgot" if drop > 0 else "gained"
    most_of = (
        f"most of “{name}” ({number(most)})" if most > 0 else f"least in “{name}” ({number(-most)})"
    )
    return (
        f"Of each earlier task it {said} {number(abs(drop))} points of R@1 on average since that "
        f"was learnt (BWF {number(drop)}{' ' + bounds.strip() if bounds else ''}), {most_of}."
    )


def _certainty(groups: Groups, best: str, bootstrap: PairedBootstrap) -> str:
    seeds = len(next(iter(bootstrap.caches.values())))
    over = f"captions and {seeds} seeds" if seeds > 1 else "captions, of one seed alone"
    basis = f"Brackets are 95% bootstrap intervals over {over}"
    others = [method for method in groups if method != best and method in bootstrap.runs]
    if not others:
        return f"{basis}; there is no other method here to compare with."
    rival = max(others, key=lambda method: _recall(groups, method))
    gap = bootstrap.interval("R@1", best, rival)
    if gap.low <= 0 <= gap.high:
        verdict = "so these runs do not tell the two apart"
    else:
        verdict = "which is more than chance gives"
    sign = "above" if gap.value >= 0 else "below"
    return (
        f"That is {number(abs(gap.value))} points {sign} {rival}, the next one "
        f"{_bounds(gap).strip()}, {verdict}; {basis[0].lower()}{basis[1:]}."
    )


def _interval(bootstrap: PairedBootstrap | None, figure: str, method: str) -> Interval | None:
    return bootstrap.interval(figure, method) if bootstrap else None


def _bounds(one: Interval | None) -> str:
    return f"[{number(one.low)}, {number(one.high)}] " if one else ""


def with_bounds(values: Sequence[float | None], one: Interval | None, digits: int = 1) -> str:
    """The mean of some runs' figure with its interval; of runs without one, the mean alone."""
    middle = mean(values)
    if middle is None:
        return ""
    bounds = f" [{number(one.low, digits)}, {number(one.high, digits)}]" if one else ""
    return f"{number(middle, digits)}{bounds}"

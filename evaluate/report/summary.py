"""The report's first sentences: the result, what was forgotten, and how sure both are."""

from collections.abc import Sequence
from html import escape
from typing import Any

from ..intervals import Interval
from .certainty import Certainty
from .layout import Groups, lost, task_names, task_numbers
from .tables import mean, number


def summary(groups: Groups, first: dict[str, Any], certainty: Certainty) -> str:
    """Three sentences in a paragraph of their own."""
    best = best_method(groups)
    told = [_result(groups, first, best, certainty), _forgetting(groups, first, best, certainty)]
    told.append(_comparison(groups, best, certainty))
    told += [f"No interval of {name}: {why}." for name, why in certainty.unknown.items()]
    return f'<p class="summary">{escape(" ".join(filter(None, told)))}</p>'


def best_method(groups: Groups) -> str:
    """The method of the highest R@1 at the end, of those that learnt task by task if any did."""
    several = [m for m, runs in groups.items() if runs[0].results["tasks"] > 1] or list(groups)
    return max(several, key=lambda method: _recall(groups, method))


def _recall(groups: Groups, method: str) -> float:
    return mean([run.results["final"]["t2v"]["R@1"] for run in groups[method]]) or 0.0


def _result(groups: Groups, first: dict[str, Any], best: str, certainty: Certainty) -> str:
    final, tasks = first["final"], first["tasks"]
    before = mean([run.stage(tasks)["zero_shot"]["R@1"] for run in groups[best]
                   if run.stage(tasks).get("zero_shot")])  # fmt: skip
    after = f"After {tasks} tasks" if tasks > 1 else "After one task"
    untrained = "" if before is None else f"the pre-trained model for {before:.1f}%, "
    return (
        f"{after} {best} puts the right clip first for {_recall(groups, best):.1f}% "
        f"{_bounds(certainty.interval('R@1', best))}of {final['queries']} captions, "
        f"{untrained}chance for {100 / final['clips']:.2f}%."
    )


def _forgetting(groups: Groups, first: dict[str, Any], best: str, certainty: Certainty) -> str:
    values = [run.results["final"]["BWF_stored"] for run in groups[best]]
    if (drop := mean(values)) is None:
        return ""
    bounds = _bounds(certainty.interval("BWF", best))
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


def _comparison(groups: Groups, best: str, certainty: Certainty) -> str:
    """How the best method stands to the next, and what the brackets are."""
    numbers = {len(runs) for name, runs in groups.items() if name not in certainty.unknown}
    if not numbers:
        return ""
    if len(numbers) > 1:
        over = "captions and each method's own seeds"
    else:
        (seeds,) = numbers
        over = f"captions and {seeds} seeds" if seeds > 1 else "captions, of one seed alone"
    basis = f"rackets are 95% bootstrap intervals over {over}"
    others = [method for method in groups if method != best]
    if not others:
        return f"B{basis}; there is no other method here to compare with."
    rival = max(others, key=lambda method: _recall(groups, method))
    gap = certainty.difference("R@1", best, rival)
    if gap is None:
        return f"B{basis}. {rival}, the next one, has no run of the same seed to compare with."
    if gap.low <= 0 <= gap.high:
        verdict = "so these runs do not tell the two apart"
    else:
        verdict = "which is more than chance gives"
    sign = "above" if gap.value >= 0 else "below"
    common = len(certainty.common(best, rival))
    shared = "" if numbers == {common} else f" over {common} of the same seed"
    return (
        f"That is {number(abs(gap.value))} points {sign} {rival}, the next one{shared} "
        f"{_bounds(gap).strip()}, {verdict}; b{basis}."
    )


def _bounds(one: Interval | None) -> str:
    return f"[{number(one.low)}, {number(one.high)}] " if one else ""


def with_bounds(values: Sequence[float | None], one: Interval | None, digits: int = 1) -> str:
    """The mean of some runs' figure with its interval; of runs without one, the mean alone."""
    middle = mean(values)
    if middle is None:
        return ""
    bounds = f" [{number(one.low, digits)}, {number(one.high, digits)}]" if one else ""
    return f"{number(middle, digits)}{bounds}"

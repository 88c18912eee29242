"""The page's first paragraph: the result, what was forgotten, and how certain both are."""

from .finished_runs import HEADLINE
from .formatting import bounds, mean, number
from .method_bootstrap import MethodBootstrap
from .run_groups import RunGroups


def summary(groups: RunGroups, bootstrap: MethodBootstrap) -> str:
    """Up to three sentences, and one for each method without an interval."""
    best = best_method(groups)
    sentences = [
        _result(groups, best, bootstrap),
        _forgetting(groups, best, bootstrap),
        _comparison(groups, best, bootstrap),
        *(f"No interval of {name}: {why}." for name, why in bootstrap.unknown.items()),
    ]
    return " ".join(filter(None, sentences))


def best_method(groups: RunGroups) -> str:
    """The method of the highest final R@1, among those that learn several tasks if there are."""
    methods = groups.continual.by_method or groups.by_method
    return max(methods, key=lambda method: _recall(groups, method))


def _recall(groups: RunGroups, method: str) -> float:
    runs = groups.by_method[method]
    return mean([run.results["final"]["t2v"][HEADLINE.name] for run in runs]) or 0.0


def _result(groups: RunGroups, best: str, bootstrap: MethodBootstrap) -> str:
    final, tasks = groups.first["final"], groups.first["tasks"]
    before = mean([run.over_seen(tasks, "zero_shot") for run in groups.by_method[best]])
    after = f"After {tasks} tasks" if tasks > 1 else "After one task"
    zero_shot = "" if before is None else f"the pre-trained model for {before:.1f}%, "
    interval = bootstrap.interval(HEADLINE.name, best)
    brackets = f"{bounds(interval)} " if interval else ""
    return (
        f"{after} {best} puts the right clip first for {_recall(groups, best):.1f}% {brackets}of "
        f"{final['queries']} captions, {zero_shot}chance for {100 / final['clips']:.2f}%."
    )


def _forgetting(groups: RunGroups, best: str, bootstrap: MethodBootstrap) -> str:
    runs = groups.by_method[best]
    drop = mean([run.results["final"]["BWF_stored"] for run in runs])
    if drop is None:
        return ""
    last = groups.tasks[-1]
    by_task = {task: mean([run.lost(task, last) for run in runs]) for task in groups.tasks[:-1]}
    measured = {task: lost for task, lost in by_task.items() if lost is not None}
    worst = max(measured, key=lambda task: measured[task])
    name, most = groups.task_names(best)[worst - 1], measured[worst]
    interval = bootstrap.interval("BWF", best)
    brackets = f" {bounds(interval)}" if interval else ""
    return (
        f"On average, earlier tasks {'lost' if drop > 0 else 'gained'} {number(abs(drop))} points "
        f"of R@1 since they were learnt (BWF {number(drop)}{brackets}); “{name}” "
        f"{'lost most' if most > 0 else 'gained least'} ({number(abs(most))})."
    )


def _comparison(groups: RunGroups, best: str, bootstrap: MethodBootstrap) -> str:
    """How far the best method is from the runner-up, and what the brackets mean."""
    methods = groups.by_method
    counts = {len(runs) for name, runs in methods.items() if name not in bootstrap.unknown}
    if not counts:
        return ""
    if len(counts) > 1:
        resampled = "captions and each method's own seeds"
    else:
        (seeds,) = counts
        resampled = f"captions and {seeds} seeds" if seeds > 1 else "captions, of a single seed"
    brackets = f"rackets are 95% bootstrap intervals over {resampled}"
    others = [method for method in methods if method != best]
    if not others:
        return f"B{brackets}; there is no other method to compare with."
    rival = max(others, key=lambda method: _recall(groups, method))
    gap = bootstrap.difference(HEADLINE.name, best, rival)
    if gap is None:
        return f"B{brackets}. The runner-up, {rival}, has no run of the same seed to compare with."
    common = len(bootstrap.common(best, rival))
    over = "" if counts == {common} else f", over {common} common run{'s' * (common > 1)}"
    verdict = (
        "so these runs do not separate the two"
        if gap.low <= 0 <= gap.high
        else "more than chance explains"
    )
    return (
        f"Its R@1 is {number(abs(gap.value))} points {'above' if gap.value >= 0 else 'below'} the "
        f"runner-up, {rival}{over} {bounds(gap)}, {verdict}; b{brackets}."
    )

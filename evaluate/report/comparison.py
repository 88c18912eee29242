"""Methods compared: the final results, both directions of search, and R@1 and BWF by stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from ..bootstrap import Interval
from ..metrics import METRICS
from .finished_runs import HEADLINE, FinishedRun
from .formatting import number, spread, with_bounds
from .method_bootstrap import MethodBootstrap
from .run_groups import RunGroups
from .sections import Section, Table, line_figure

PUBLISHED = Path(__file__).parents[2] / "configs" / "published.yaml"

_TITLES = [metric.title for metric in METRICS]


def final_results(groups: RunGroups, bootstrap: MethodBootstrap) -> Section:
    """Text to video after the last task: every method, zero-shot, and published figures."""
    first = groups.first
    head = ["method", "seeds", *_TITLES, "BWF (above 0: lost)", "BWF, re-encoded"]
    rows = []
    for method, runs in groups.by_method.items():
        stages = [run.results["final"] for run in runs]
        interval = bootstrap.interval(HEADLINE.name, method)
        stored = [stage["BWF_stored"] for stage in stages]
        rows.append([
            method, str(len(runs)), *_cells([stage["t2v"] for stage in stages], interval),
            with_bounds(stored, bootstrap.interval("BWF", method), 2),
            spread([stage["BWF_reencoded"] for stage in stages], 2),
        ])  # fmt: skip
    first_method = next(iter(groups.by_method.values()))
    before = [run.stage(first["tasks"]).get("zero_shot") or {} for run in first_method]
    rows.append(["zero-shot (before any training)", "", *_cells(before), "", ""])
    published = yaml.safe_load(PUBLISHED.read_text()).get(first["dataset"], {})
    for name, (recall_at_1, forgetting) in published.get(first["tasks"], {}).items():
        known = _cells([{HEADLINE.name: recall_at_1}])
        rows.append([f"{name} (published)", "", *known, number(forgetting, 2), ""])
    final = first["final"]
    text = (
        f"Text to video over all {final['clips']} clips of the {first['tasks']} tasks after the "
        f"last one ({final['queries']} captions; evaluated on: {first['evaluated_on']}), with the "
        "stored embeddings of old clips. Brackets are 95% bootstrap intervals, ± is the standard "
        "deviation over seeds. BWF is backward forgetting within each task: above 0 old tasks "
        "lost, below 0 they gained."
    )
    return Section("Results", text, [Table(head, rows)])


def by_stage(groups: RunGroups) -> Section:
    """R@1 and backward forgetting over all tasks seen, stage by stage."""
    tasks, reference = groups.tasks, "zero-shot, the same clips"
    recall = groups.means(tasks, FinishedRun.over_seen)
    before = groups.means(tasks, lambda run, stage: run.over_seen(stage, "zero_shot"))
    if None not in (line := next(iter(before.values()))):
        recall[reference] = line
    forgetting = groups.means(tasks, lambda run, stage: run.stage(stage).get("BWF_stored"))
    figures = [
        line_figure(
            f"{name} by stage", lines, groups.task_names(), ("after", f"{name}, {unit}"),
            f"{name} over all tasks seen, by stage.", reference=reference,
        )
        for name, unit, lines in (
            ("R@1", "percent", recall), ("BWF", "points, lost is above 0", forgetting)
        )
    ]  # fmt: skip
    text = (
        "Over all tasks seen so far, so the gallery grows from left to right. The grey line is the "
        "pre-trained model over the same clips, for the runs of the first method."
    )
    return Section("Stage by stage", text, figures=figures)


def both_directions(groups: RunGroups) -> Section:
    """Every metric, text to video and video to text."""
    rows = [
        [method, words, *_cells([run.results["final"][side] for run in runs])]
        for method, runs in groups.by_method.items()
        for side, words in (("t2v", "text to video"), ("v2t", "video to text"))
    ]
    table = Table(["method", "direction", *_TITLES], rows)
    return Section("Both directions", "After the last task, over all tasks.", [table])


def _cells(
    measured: Sequence[Mapping[str, float]], headline_interval: Interval | None = None
) -> list[str]:
    """A cell per metric: its mean over runs, with the spread or the interval that is given."""
    cells = []
    for metric in METRICS:
        values, digits = [values.get(metric.name) for values in measured], metric.digits
        if headline_interval and metric is HEADLINE:
            cells.append(with_bounds(values, headline_interval, digits))
        else:
            cells.append(spread(values, digits))
    return cells

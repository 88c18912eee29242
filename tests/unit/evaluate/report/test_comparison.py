"""Tables of metrics: a column per row of the registry, an empty cell for what was not measured."""

from pathlib import Path

from structalign.evaluate.metrics import METRICS
from structalign.evaluate.report.comparison import both_directions
from structalign.evaluate.report.finished_runs import FinishedRun
from structalign.evaluate.report.run_groups import RunGroups


def run(seed: int, **changes: float | None) -> FinishedRun:
    """Results in which every metric is 10 plus the seed, but for the changes; None leaves out."""
    measured = {**{metric.name: 10.0 + seed for metric in METRICS}, **changes}
    side = {name: value for name, value in measured.items() if value is not None}
    return FinishedRun(Path(), {}, {"tasks": 2, "final": {"t2v": side, "v2t": side}}, 0.0, {})


def test_a_column_per_metric() -> None:
    (table,) = both_directions(RunGroups({"ours": [run(0), run(1)]})).tables
    assert list(table.head) == ["method", "direction", *(metric.title for metric in METRICS)]
    cells = [f"{10.5:.{metric.digits}f} ± {0.5**0.5:.{metric.digits}f}" for metric in METRICS]
    assert [list(row) for row in table.rows] == [
        ["ours", words, *cells] for words in ("text to video", "video to text")
    ]


def test_a_metric_that_older_results_lack_is_an_empty_cell() -> None:
    newest = METRICS[-1].name
    groups = RunGroups({"old": [run(0, **{newest: None})], "new": [run(0)]})
    (table,) = both_directions(groups).tables
    last = {row[0]: row[-1] for row in table.rows}
    assert last == {"old": "", "new": METRICS[-1].format(10.0)}

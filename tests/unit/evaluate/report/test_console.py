"""The table of results fits a terminal of 80 columns, whatever K is."""

import pytest
from structalign.evaluate.report.console import results_table


def results(tasks: int) -> dict[str, object]:
    """As results.json has them, with the widest figures."""
    t2v = {"R@1": 100.0, "R@5": 100.0, "R@10": 100.0, "MedR": 1234.5}
    stages = [
        {
            "stage": n,
            "t2v": t2v,
            "v2t": t2v,
            "BWF": -12.34,
            "BWF_stored": -12.34,
            "BWF_reencoded": -12.34,
            "FWT": 12.34,
            "twins": {"told_apart": 100.0, "captions": 1234},
        }
        for n in range(tasks + 1)
    ]
    row = [100.0] * tasks
    return {
        "method": "structalign", "dataset": "manifest", "tasks": tasks, "seed": 0,
        "selection": "heldout", "evaluated_on": "held-out training clips", "coverage": 1.0,
        "backbone": {"random_weights": False}, "gallery": "reencoded", "ties": 12,
        "matrix": {"r1": [row] * (tasks + 1)}, "stages": stages, "final": stages[-1],
        "warnings": ["16 of 16 test captions describe more than one clip: R@1 cannot exceed 50"],
    }  # fmt: skip


@pytest.mark.parametrize("tasks", [1, 10, 20])
def test_no_line_is_wider_than_a_terminal(tasks: int) -> None:
    lines = results_table(results(tasks)).splitlines()
    assert max(map(len, lines)) <= 80
    shown = [title for line in lines for title in line.split() if title[0] == "t" and title[1:]]
    assert [f"t{n}" for n in range(1, tasks + 1)] == [t for t in shown if t[1:].isdigit()]
    assert lines[-1].startswith("16 of 16 test captions")

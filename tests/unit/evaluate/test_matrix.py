"""Summaries of the task matrix, by hand and by their invariants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structalign.evaluate.matrix import (
    Matrix,
    backward_forgetting,
    backward_transfer,
    forward_transfer,
    task_average,
    task_matrices,
)

MATRIX: Matrix = [[10.0, 20.0, 30.0], [50.0, None, None], [40.0, 60.0, None], [45.0, 50.0, 70.0]]
AHEAD: Matrix = [[10.0, 20.0, 30.0], [None, 25.0, None], [None, None, 28.0], [None, None, None]]


def test_backward_forgetting() -> None:
    assert backward_forgetting(MATRIX, [2, 2, 2], 0) is None
    assert backward_forgetting(MATRIX, [2, 2, 2], 1) is None
    assert backward_forgetting(MATRIX, [2, 2, 2], 2) == 10
    assert backward_forgetting(MATRIX, [2, 2, 2], 3) == pytest.approx(7.5)
    assert backward_forgetting(MATRIX, [1, 3, 2], 3) == pytest.approx((5 + 3 * 10) / 4)
    assert task_average(MATRIX, 3) == pytest.approx(55)
    assert task_average(MATRIX, 0) == 20


def test_transfer() -> None:
    assert backward_transfer(MATRIX, 1) is None and forward_transfer(AHEAD, 1) is None
    assert backward_transfer(MATRIX, 3) == pytest.approx(-7.5)
    assert forward_transfer(AHEAD, 2) == 5
    assert forward_transfer(AHEAD, 3) == pytest.approx((5 - 2) / 2)


@given(st.lists(st.lists(st.floats(0, 100), min_size=5, max_size=5), min_size=6, max_size=6))
def test_forgetting_is_the_negative_of_backward_transfer_when_tasks_are_equal(
    rows: list[list[float]],
) -> None:
    matrix = [
        [value if stage == 0 or task <= stage else None for task, value in enumerate(row, 1)]
        for stage, row in enumerate(rows)
    ]
    for stage in range(2, 6):
        gained = backward_transfer(matrix, stage)
        assert gained is not None
        assert backward_forgetting(matrix, [4] * 5, stage) == pytest.approx(-gained, abs=1e-9)


def test_rows_become_matrices_with_gaps_where_nothing_was_measured() -> None:
    def cell(value: float) -> dict[str, float]:
        return dict.fromkeys(("R@1", "R@5", "R@10", "MedR"), value)

    def stage(
        number: int, row: list[float], arrival: float, ahead: float | None
    ) -> dict[str, object]:
        seen = [cell(value) for value in row]
        return {
            "stage": number,
            "row": {"t2v/stored/task": seen, "t2v/stored/seen": seen},
            "arrival": {"zero_shot": cell(arrival),
            "ahead": None if ahead is None else cell(ahead)},
            "zero_shot": {
                "seen": [cell(10 * number + task) for task in range(number)],
                "t2v/task": cell(arrival + 0.5), "v2t/task": cell(9),
            },
        }  # fmt: skip

    found = task_matrices([stage(1, [3], 1, None), stage(2, [6, 7], 2, 5)])
    assert found["t2v/stored/task"]["R@1"] == [[1.5, 2.5], [3, None], [6, 7]]
    assert found["t2v/stored/seen"]["R@1"] == [[20, 21], [3, None], [6, 7]]
    assert found["t2v/ahead/task"]["MedR"] == [[1, 2], [None, 5], [None, None]]
    unknown = found["t2v/stored/task"]["MeanR"]  # a metric that an older version did not measure
    assert unknown == [[None, None]] * 3

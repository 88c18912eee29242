"""The task matrix R[stage, task]: summaries are pure functions of it.

Rows are stages 0 (zero-shot) to T, columns tasks 1 to T, those that were learnt so far;
percentages or ranks; None where nothing was measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .metrics import METRICS

Matrix = Sequence[Sequence[float | None]]


def task_matrices(stages: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Matrix]]:
    """R[stage, task, metric] by figure (direction/gallery/scope), from the stages' records.

    A metric that an older version did not measure is None.
    Row 0 has each task zero-shot: among the clips seen when it came, for ``seen`` among those seen
    at the last stage.
    ``t2v/ahead/task`` has in row t the task after t, where that has arrived, and in row 0 each
    task zero-shot, all among a task's own clips alone.
    """
    arrivals = [stage["arrival"] for stage in stages]
    zero_shot = {
        name: [stage["zero_shot"][f"{name[:3]}/task"] for stage in stages]
        for name in stages[0]["row"]
    }
    zero_shot["t2v/stored/seen"] = stages[-1]["zero_shot"]["seen"]
    count = len(stages)
    rows = {
        name: [first, *([*stage["row"][name]] for stage in stages)]
        for name, first in zero_shot.items()
    }
    ahead = [[None] * task + [arrivals[task]["ahead"]] for task in range(1, count)]
    rows["t2v/ahead/task"] = [[arrival["zero_shot"] for arrival in arrivals], *ahead, []]
    return {
        figure: {
            metric.name: [
                [None if cell is None else cell.get(metric.name) for cell in row]
                + [None] * (count - len(row))
                for row in of_figure
            ]
            for metric in METRICS
        }
        for figure, of_figure in rows.items()
    }


def backward_forgetting(matrix: Matrix, classes: Sequence[int], stage: int) -> float | None:
    """BWF(t) = sum_{i<t} n_i (R[i, i] - R[t, i]) / sum_{i<t} n_i.

    ``classes``: n_i, the number of categories of each task. Positive means forgetting. None before
    task 2, and where a cell was not measured.
    """
    drops = _differences((matrix[i][i - 1], matrix[stage][i - 1]) for i in range(1, stage))
    weights = classes[: len(drops)]
    return sum(n * d for n, d in zip(weights, drops, strict=True)) / sum(weights) if drops else None


def backward_transfer(matrix: Matrix, stage: int) -> float | None:
    """BWT(t) = mean over i < t of R[t, i] - R[i, i] (GEM, Lopez-Paz 2017); None before task 2.

    Positive means that old tasks gained.
    """
    gains = _differences((matrix[stage][i - 1], matrix[i][i - 1]) for i in range(1, stage))
    return sum(gains) / (stage - 1) if gains else None


def forward_transfer(ahead: Matrix, stage: int) -> float | None:
    """FWT(t) = mean over 1 < i <= t of A[i-1, i] - A[0, i] (GEM); None before task 2.

    What a task gained over zero-shot before it was learnt: row 0 of A has each task zero-shot, row
    t the task after t, among its own clips alone.
    """
    gains = _differences((ahead[i - 1][i - 1], ahead[0][i - 1]) for i in range(2, stage + 1))
    return sum(gains) / (stage - 1) if gains else None


def task_average(matrix: Matrix, stage: int) -> float | None:
    """Mean over tasks 1..t of R[t, i], for stage 0 over all tasks; None if a cell is missing."""
    row = matrix[stage][: stage or None]
    known = [value for value in row if value is not None]
    return sum(known) / len(known) if len(known) == len(row) else None


def _differences(pairs: Iterable[tuple[float | None, float | None]]) -> list[float]:
    """First minus second of every pair; empty if any value was not measured."""
    listed = list(pairs)
    known = [a - b for a, b in listed if a is not None and b is not None]
    return known if len(known) == len(listed) else []

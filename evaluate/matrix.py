"""The task matrix R[stage, task]: the only metric state. Summaries are pure functions of it.

Rows are stages 0 (zero-shot) to K, columns tasks 1 to K; percentages or ranks; None where nothing was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Matrix = Sequence[Sequence[float | None]]
METRICS = ("R@1", "R@5", "R@10", "MedR", "MeanR")


def task_matrices(stages: Sequence[Mapping[str, Any]], tasks: int) -> dict[str, dict[str, Matrix]]:
    """R[stage, task, metric] of every figure (direction/gallery/scope) from the rows that were measured: {figure: {metric: matrix}}."""
    return {
        figure: {metric: [_row(stage["row"][figure], metric, _first_task(figure, stage["stage"]), tasks) for stage in stages] for metric in METRICS}
        for figure in stages[0]["row"]
    }


def backward_forgetting(matrix: Matrix, classes: Sequence[int], stage: int) -> float | None:
    """BWF(t) = sum_{i<t} n_i (R[i, i] - R[t, i]) / sum_{i<t} n_i; None before task 2. Positive means forgetting.

    ``classes`` holds n_i, the number of categories of each task.
    """
    if stage < 2:
        return None
    weights = classes[: stage - 1]
    drops = [_at(matrix, i, i) - _at(matrix, stage, i) for i in range(1, stage)]
    return sum(n * drop for n, drop in zip(weights, drops, strict=True)) / sum(weights)


def backward_transfer(matrix: Matrix, stage: int) -> float | None:
    """BWT(t) = mean over i < t of R[t, i] - R[i, i]; None before task 2. Positive means that old tasks gained (GEM, Lopez-Paz 2017)."""
    if stage < 2:
        return None
    return sum(_at(matrix, stage, i) - _at(matrix, i, i) for i in range(1, stage)) / (stage - 1)


def forward_transfer(ahead: Matrix, stage: int) -> float | None:
    """FWT(t) = mean over 1 < i <= t of A[i-1, i] - A[0, i]: what a task gained over zero-shot before it was learnt itself (GEM).

    ``ahead`` holds A: row 0 each task zero-shot, row t the task after t, measured among its own clips alone. None before task 2, or
    where that was not measured.
    """
    if stage < 2 or ahead[1][1] is None:
        return None
    return sum(_at(ahead, i - 1, i) - _at(ahead, 0, i) for i in range(2, stage + 1)) / (stage - 1)


def task_average(matrix: Matrix, stage: int) -> float:
    """Mean over tasks 1..t of R[t, i]; for stage 0 over all tasks."""
    row = [value for value in matrix[stage] if value is not None]
    return sum(row) / len(row)


def _first_task(figure: str, stage: int) -> int:
    return stage + 1 if "/ahead/" in figure and stage else 1


def _row(cells: Sequence[Mapping[str, float]], metric: str, first: int, tasks: int) -> list[float | None]:
    values = [cell[metric] for cell in cells]
    return [*[None] * (first - 1), *values, *[None] * (tasks - first + 1 - len(values))]


def _at(matrix: Matrix, stage: int, task: int) -> float:
    value = matrix[stage][task - 1]
    if value is None:
        raise ValueError(f"the task matrix has no entry for stage {stage}, task {task}")
    return value

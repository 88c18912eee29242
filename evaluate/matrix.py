"""The task matrix R[stage, task]: the only metric state. Summaries are pure functions of it.

Rows are stages 0 (zero-shot) to K, columns tasks 1 to K; percentages; None where a task was not yet seen.
"""

from collections.abc import Sequence

Matrix = Sequence[Sequence[float | None]]


def backward_forgetting(matrix: Matrix, classes: Sequence[int], stage: int) -> float | None:
    """BWF(t) = sum_{i<t} n_i (R[i, i] - R[t, i]) / sum_{i<t} n_i; None before task 2. Positive means forgetting.

    ``classes`` holds n_i, the number of categories of each task.
    """
    if stage < 2:
        return None
    weights = classes[: stage - 1]
    drops = [_at(matrix, i, i) - _at(matrix, stage, i) for i in range(1, stage)]
    return sum(n * drop for n, drop in zip(weights, drops, strict=True)) / sum(weights)


def task_average(matrix: Matrix, stage: int) -> float:
    """Mean over tasks 1..t of R[t, i]; for stage 0 over all tasks."""
    row = [value for value in matrix[stage] if value is not None]
    return sum(row) / len(row)


def _at(matrix: Matrix, stage: int, task: int) -> float:
    value = matrix[stage][task - 1]
    if value is None:
        raise ValueError(f"the task matrix has no entry for stage {stage}, task {task}")
    return value

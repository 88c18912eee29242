"""The task matrix R[stage, task]: summaries are pure functions of it.

Rows are stages 0 (zero-shot) to T, columns tasks 1 to T, those that were learnt so far;
percentages or ranks; None where nothing was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Matrix = Sequence[Sequence[float | None]]
METRICS = ("R@1", "R@5", "R@10", "MedR", "MeanR")


def task_matrices(stages: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Matrix]]:
    """R[stage, task, metric] by figure (direction/gallery/scope), from the stages' records.

    Row 0 has each task zero-shot among the clips seen by then, and for ``seen`` by the last task.
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
    rows["t2v/ahead/task"] = [[one["zero_shot"] for one in arrivals], *ahead, []]
    return {
        figure: {
            metric: [
                [None if cell is None else cell[metric] for cell in row]
                + [None] * (count - len(row))
                for row in of_figure
            ]
            for metric in METRICS
        }
        for figure, of_figure in rows.items()
    }


def backward_forgetting(matrix: Matrix, classes: Sequence[int], stage: int) -> float | None:
    """BWF(t) = sum_{i<t} n_i (R[i, i] - R[t, i]) / sum_{i<t} n_i.

    None before task 2. Positive means forgetting.

    ``classes`` holds n_i, the number of categories of each task.
    """
    if stage < 2:
        return None
    weights = classes[: stage - 1]
    drops = [_at(matrix, i, i) - _at(matrix, stage, i) for i in range(1, stage)]
    return sum(n * drop for n, drop in zip(weights, drops, strict=True)) / sum(weights)


def backward_transfer(matrix: Matrix, stage: int) -> float | None:
    """BWT(t) = mean over i < t of R[t, i] - R[i, i] (GEM, Lopez-Paz 2017); None before task 2.

    Positive means that old tasks gained.
    """
    if stage < 2:
        return None
    gains = [_at(matrix, stage, i) - _at(matrix, i, i) for i in range(1, stage)]
    return sum(gains) / (stage - 1)


def forward_transfer(ahead: Matrix, stage: int) -> float | None:
    """FWT(t) = mean over 1 < i <= t of A[i-1, i] - A[0, i] (GEM); None before task 2.

    What a task gained over zero-shot before it was learnt. ``ahead`` holds A: row 0 each task
    zero-shot, row t the task after t, measured among its own clips alone.
    """
    if stage < 2:
        return None
    gains = [_at(ahead, i - 1, i) - _at(ahead, 0, i) for i in range(2, stage + 1)]
    return sum(gains) / (stage - 1)


def task_average(matrix: Matrix, stage: int) -> float:
    """Mean over tasks 1..t of R[t, i]; for stage 0 over all tasks."""
    row = [value for value in matrix[stage] if value is not None]
    return sum(row) / len(row)


def _at(matrix: Matrix, stage: int, task: int) -> float:
    value = matrix[stage][task - 1]
    if value is None:
        raise ValueError(f"the task matrix has no entry for stage {stage}, task {task}")
    return value

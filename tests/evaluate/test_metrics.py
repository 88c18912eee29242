"""Ranks by hand, ties by expectation, and forgetting by its formula."""

import pytest
import torch

from cache.errors import StructAlignError
from evaluate.matrix import backward_forgetting, task_average
from evaluate.metrics import text_to_video_ranks, video_to_text_ranks


def test_ranks_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.1, 0.1, 0.1]])
    ranks = text_to_video_ranks(scores, torch.tensor([0, 1, 2]))
    assert ranks.values.tolist() == [1, 2, 2]  # all equal: the expected place among three is the middle one
    assert ranks.tied == 1
    assert ranks.recall(1) == pytest.approx(100 / 3)
    assert ranks.summary()["MedR"] == 2


def test_ties_count_with_their_expected_rank() -> None:
    scores = torch.zeros(1, 4)
    assert text_to_video_ranks(scores, torch.tensor([2])).values.tolist() == [2.5]


def test_video_to_text_takes_the_best_caption() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.5]])
    ranks = video_to_text_ranks(scores, torch.tensor([0, 0, 1]))
    assert ranks.values.tolist() == [1, 2]


def test_nan_is_refused() -> None:
    with pytest.raises(StructAlignError, match="not a finite number"):
        text_to_video_ranks(torch.tensor([[float("nan")]]), torch.tensor([0]))


def test_backward_forgetting() -> None:
    matrix = [[10.0, 20.0, 30.0], [50.0, None, None], [40.0, 60.0, None], [45.0, 50.0, 70.0]]
    assert backward_forgetting(matrix, [2, 2, 2], 0) is None
    assert backward_forgetting(matrix, [2, 2, 2], 1) is None
    assert backward_forgetting(matrix, [2, 2, 2], 2) == 10
    assert backward_forgetting(matrix, [2, 2, 2], 3) == pytest.approx(7.5)
    assert backward_forgetting(matrix, [1, 3, 2], 3) == pytest.approx((5 + 3 * 10) / 4)
    assert task_average(matrix, 3) == pytest.approx(55)
    assert task_average(matrix, 0) == 20

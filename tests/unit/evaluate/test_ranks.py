"""Ranks by hand: ties, several captions of a clip, scores that are no numbers."""

import math

import pytest
import torch
from structalign.core.errors import StructAlignError
from structalign.evaluate.metrics import METRICS
from structalign.evaluate.ranks import best_first, text_to_video_ranks, video_to_text_ranks


def test_ranks_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.1, 0.1, 0.1]])
    ranks = text_to_video_ranks(scores, torch.tensor([0, 1, 2]))
    # all equal: the expected place among three is the middle one
    assert ranks.values.tolist() == [1, 2, 2]
    assert ranks.tied == 1
    assert ranks.summary()["R@1"] == pytest.approx(100 / 3)
    assert ranks.summary()["MedR"] == 2


def test_ndcg_of_one_relevant_clip() -> None:
    """1 / log2(1 + rank) up to rank 10; a tie has its mid rank, as in every metric."""
    ndcg = next(metric for metric in METRICS if metric.name == "nDCG@10")
    assert [ndcg(torch.tensor([rank], dtype=torch.float64)) for rank in (1, 3, 10, 10.5, 11)] == (
        pytest.approx([100, 50, 100 / math.log2(11), 0, 0])
    )
    tied = text_to_video_ranks(torch.zeros(1, 4), torch.tensor([2])).summary()["nDCG@10"]
    assert tied == pytest.approx(100 / math.log2(3.5))


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


def test_equal_scores_come_in_their_order_however_many_are_asked_for() -> None:
    """``torch.zeros(10).topk(3)`` gives 8, 6, 7: a longer list did not begin with a shorter one."""
    scores = torch.tensor([0.0, 2.0, 1.0] + [1.0] * 300 + [2.0])
    right = [1, 303, 2, *range(3, 303), 0]
    for count in (1, 2, 3, 10, 100, 304, 400):
        assert best_first(scores, count).tolist() == right[:count]
    assert best_first(torch.zeros(0), 5).tolist() == []

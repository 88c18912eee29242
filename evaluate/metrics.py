"""Ranks and recall, as pure functions of scores."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import StructAlignError


@dataclass(frozen=True)
class Ranks:
    """Expected 1-based rank of the right answer of every query, float64 [Q].

    ``tied`` counts queries with an equal wrong score.
    """

    values: Tensor
    tied: int

    def recall(self, k: int) -> float:
        """Percentage of queries whose right answer is among the first k."""
        return float((self.values <= k).double().mean() * 100)

    def summary(self) -> dict[str, float]:
        """R@1, R@5, R@10 in percent, median and mean rank."""
        return {
            **{f"R@{k}": self.recall(k) for k in (1, 5, 10)},
            "MedR": float(self.values.quantile(0.5)),
            "MeanR": float(self.values.mean()),
        }


def text_to_video_ranks(scores: Tensor, target: Tensor) -> Ranks:
    """scores [T, V], target int64 [T]: rank = 1 + #better + #equal / 2.

    Raises:
        StructAlignError: a score is not a number.
    """
    _refuse_nan(scores)
    right = scores.gather(1, target[:, None])
    better = (scores > right).sum(1).double()
    equal = (scores == right).sum(1).double() - 1
    return Ranks(1 + better + equal / 2, int((equal > 0).sum()))


def video_to_text_ranks(scores: Tensor, target: Tensor) -> Ranks:
    """For every video with captions, the rank of its best one among it and all others' captions."""
    _refuse_nan(scores)
    videos = target.unique()
    values, tied = [], 0
    for video in videos.tolist():
        column, own = scores[:, video], target == video
        best = column[own].max()
        others = column[~own]
        equal = int((others == best).sum())
        values.append(1 + float((others > best).sum()) + equal / 2)
        tied += equal > 0
    return Ranks(torch.tensor(values, dtype=torch.float64), tied)


def _refuse_nan(scores: Tensor) -> None:
    if not torch.isfinite(scores).all():
        raise StructAlignError(
            "a score is not a finite number; the run's embeddings are broken, train it again"
        )

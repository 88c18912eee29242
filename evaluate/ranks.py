"""Ranks of the right answers, as pure functions of scores."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import StructAlignError
from .metrics import METRICS


@dataclass(frozen=True)
class Ranks:
    """Expected 1-based rank of the right answer of every query, float64 [Q].

    ``tied`` counts queries with an equal wrong score.
    """

    values: Tensor
    tied: int

    def summary(self) -> dict[str, float]:
        """Every metric of the registry, by name."""
        return {metric.name: metric(self.values) for metric in METRICS}


def text_to_video_ranks(scores: Tensor, target: Tensor) -> Ranks:
    """Rank = 1 + #better + #equal / 2: an equal wrong score counts half (the mid rank).

    ``scores``: float [T, V], higher is more alike; ``target``: int64 [T], the right column of each
    row. Raises StructAlignError where a score is not a finite number.
    """
    _refuse_nan(scores)
    right = scores.gather(1, target[:, None])
    better = (scores > right).sum(1).double()
    equal = (scores == right).sum(1).double() - 1
    return Ranks(1 + better + equal / 2, int((equal > 0).sum()))


def video_to_text_ranks(scores: Tensor, target: Tensor) -> Ranks:
    """For every video with captions, the rank of its best one among all other videos' captions.

    Arguments, ties and errors are those of ``text_to_video_ranks``.
    """
    _refuse_nan(scores)
    videos = target.unique()
    values, tied = [], 0
    for video in videos.tolist():
        column, is_own = scores[:, video], target == video
        best = column[is_own].max()
        others = column[~is_own]
        equal = int((others == best).sum())
        values.append(1 + float((others > best).sum()) + equal / 2)
        tied += equal > 0
    return Ranks(torch.tensor(values, dtype=torch.float64), tied)


def best_first(scores: Tensor, count: int) -> Tensor:
    """The ``count`` best of scores float [V], equal ones in their order: indices int64 [count].

    A longer list begins with a shorter one, which ``topk`` does not promise.
    """
    least = scores.topk(min(count, len(scores))).values[-1:]
    candidates = (scores >= least).nonzero()[:, 0]
    order = scores[candidates].sort(descending=True, stable=True).indices
    return candidates[order[:count]]


def _refuse_nan(scores: Tensor) -> None:
    if not torch.isfinite(scores).all():
        raise StructAlignError(
            "a score is not a finite number; the run's embeddings are broken, train it again"
        )

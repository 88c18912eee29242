"""Epoch selection: a task keeps its best epoch by R@1 over all clips seen so far."""

from collections.abc import Callable
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from .gallery import Block, Gallery
from .methods.base import Method
from .stream import Queries, TaskStream

PATIENCE, FIRST_COUNTED = 5, 11  # the official code's


class BestEpoch:
    """Keeps the parameters of the epoch with the best score; of equal ones the later.

    ``heldout`` scores every epoch. ``reference`` scores on the test set and stops as the official
    code does: after the fifth epoch, counted from the eleventh on, that is not above the best.
    """

    def __init__(self, rule: Literal["heldout", "reference"], method: Method) -> None:
        self.rule, self.method = rule, method
        self.best, self.epoch, self.bad = float("-inf"), 0, 0
        self.kept: dict[str, Tensor] = {}

    @property
    def should_continue(self) -> bool:
        """Whether to train another epoch."""
        return self.rule == "heldout" or self.bad < PATIENCE

    def update(self, epoch: int, score: float) -> None:
        """Record the score after ``epoch`` (1-based), and the parameters if none scored higher."""
        if score > self.best:
            self.bad = 0
        elif epoch >= FIRST_COUNTED:
            self.bad += 1
        if score >= self.best:
            self.best, self.epoch = score, epoch
            self.kept = {name: p.detach().clone() for name, p in self.method.learnt().items()}

    def restore(self) -> None:
        """Load the best epoch's parameters into the method."""
        for name, parameter in self.method.learnt().items():
            parameter.data.copy_(self.kept[name])


def selection_score(
    method: Method, stream: TaskStream, old: Gallery, number: int
) -> Callable[[], float]:
    """A function for R@1 in percent over the tasks up to ``number``, the earlier ones as stored."""
    split = stream.settings.selection_split
    clips = stream.eval_clips(number, split)
    names, tokens = tuple(clip.id for clip in clips), stream.tokens(number, clips)
    queries = [stream.queries(task, method.tokenize, split) for task in range(1, number + 1)]
    token_ids, target = torch.cat([q.token_ids for q in queries]), joined_targets(queries)

    def score() -> float:
        block = Block(number, names, method.encode_videos(tokens).cpu())
        scores = Gallery([*old.blocks, block]).score(method, token_ids)
        target_scores = scores.gather(1, target[:, None])
        return float(((scores >= target_scores).sum(1) == 1).double().mean() * 100)

    return score


def joined_targets(queries: list[Queries]) -> Tensor:
    """The target column of every caption, int64 [T], with the clips of several tasks joined."""
    firsts = accumulate((len(query.clips) for query in queries), initial=0)
    return torch.cat([q.target + first for q, first in zip(queries, firsts, strict=False)])

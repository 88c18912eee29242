"""Epoch selection: a task keeps its best epoch by R@1 over all clips seen so far."""

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


class SelectionScore:
    """R@1 in percent over the captions of all tasks so far, within task ``number``.

    Clips of earlier tasks are compared as stored, the task's own as the method encodes them now.
    """

    def __init__(self, method: Method, stream: TaskStream, old: Gallery, number: int) -> None:
        split = stream.settings.selection_split
        self.method, self.old, self.number = method, old, number
        self.clips = stream.eval_clips(number, split)
        self.tokens = stream.tokens(number, self.clips)
        tasks = range(1, number + 1)
        self.queries = [stream.queries(task, method.tokenize, split) for task in tasks]

    def __call__(self) -> float:
        """R@1 with the method's current parameters."""
        names = tuple(clip.id for clip in self.clips)
        block = Block(self.number, names, self.method.encode_videos(self.tokens).cpu())
        gallery = Gallery([*self.old.blocks, block])
        scores = gallery.score(self.method, torch.cat([q.token_ids for q in self.queries]))
        target = joined_targets(self.queries)
        target_scores = scores.gather(1, target[:, None])
        return float(((scores >= target_scores).sum(1) == 1).double().mean() * 100)


def joined_targets(queries: list[Queries]) -> Tensor:
    """The target column of every caption, int64 [T], with the clips of several tasks joined."""
    first, targets = 0, []
    for query in queries:
        targets.append(query.target + first)
        first += len(query.clips)
    return torch.cat(targets)

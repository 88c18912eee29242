"""Which epoch is kept, by hand.

Ties favour the later, and the official patience counts from the eleventh epoch on.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from structalign.train.epoch_selection import BestEpoch
from torch import nn


def choose(rule: str, scores: Sequence[float]) -> tuple[int, int, float]:
    """(epochs run, epoch kept, value restored) when epoch n leaves the weight n."""
    weight = nn.Parameter(torch.zeros(()))
    choice = BestEpoch(rule, SimpleNamespace(learnt=lambda: {"weight": weight}))  # type: ignore[arg-type]
    ran = 0
    for epoch, score in enumerate(scores, 1):
        weight.data.fill_(epoch)
        ran = epoch
        choice.update(epoch, score)
        if not choice.should_continue:
            break
    choice.restore()
    return ran, choice.epoch, float(weight.detach())


@pytest.mark.parametrize("rule", ["heldout", "reference"])
def test_the_best_epoch_is_restored_and_ties_favour_the_later(rule: str) -> None:
    assert choose(rule, [3, 5, 4]) == (3, 2, 2)
    assert choose(rule, [5, 3, 5, 1]) == (4, 3, 3)
    assert choose(rule, [0, 0]) == (2, 2, 2)


def test_reference_stops_after_five_epochs_without_a_better_score_from_the_eleventh_on() -> None:
    assert choose("reference", [9] + [1] * 19) == (15, 1, 1)
    assert choose("reference", [1] * 12 + [2] + [1] * 7) == (18, 13, 13)
    # an equal score is kept, but does not count as better
    assert choose("reference", [1] * 20) == (15, 15, 15)
    assert choose("heldout", [9] + [1] * 19) == (20, 1, 1)

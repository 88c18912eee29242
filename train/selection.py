"""Which epoch of a task is kept."""

from typing import Literal

from torch import Tensor

from train.model import Model

PATIENCE, FIRST_COUNTED = 5, 11  # released: stop at the fifth epoch without a better score, counted from the eleventh on


class EpochChoice:
    """Keeps the model of the best epoch by a score; of equal ones the later.

    ``heldout`` sees every epoch. ``reference`` scores on the test set, as released, and stops as the released code does: it counts the
    epochs from the eleventh on that are not above the best, and ends at five.
    """

    def __init__(self, rule: Literal["heldout", "reference"], model: Model) -> None:
        self.rule, self.model = rule, model
        self.best, self.epoch, self.bad = float("-inf"), 0, 0
        self.kept: dict[str, Tensor] = {}

    @property
    def going(self) -> bool:
        """Whether another epoch is worth it."""
        return self.rule == "heldout" or self.bad < PATIENCE

    def offer(self, epoch: int, score: float) -> None:
        """Take up the model after ``epoch`` (1-based) with its score."""
        if score > self.best:
            self.bad = 0
        elif epoch >= FIRST_COUNTED:
            self.bad += 1
        if score >= self.best:
            self.best, self.epoch = score, epoch
            self.kept = {name: p.detach().clone() for name, p in self.model.learnt().items()}

    def restore(self) -> None:
        """Put the model back into the state of the best epoch."""
        for name, parameter in self.model.learnt().items():
            parameter.data.copy_(self.kept[name])

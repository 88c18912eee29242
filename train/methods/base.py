"""What a method is."""

from typing import Protocol

from torch import Generator, Tensor

from train.adapters import Noise
from train.model import Model
from train.stream import Batch, Task


class Method(Protocol):
    """A continual learning method. The loop calls it; it owns nothing but what it must remember between tasks."""

    trains: bool
    """False for a method that changes nothing: its stages use the pre-trained towers."""
    joint: bool
    """True for a method that is given every task's clips at once, as task 1, and learns nothing later: no continual learning."""
    model: Model

    def begin_task(self, task: Task) -> None:
        """Before the first epoch of a task."""

    def losses(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The terms of the loss, each weighted, to be summed."""

    def end_task(self, task: Task) -> None:
        """After the last epoch: what is to be remembered."""

    def generators(self) -> dict[str, Generator]:
        """What it draws from within a task, for a checkpoint."""

    def state(self) -> dict[str, Tensor]:
        """What it remembers, for a checkpoint."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state`` gave."""

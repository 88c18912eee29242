"""Zero-shot: the pre-trained towers as they are."""

from torch import Generator, Tensor

from train.adapters import Noise
from train.model import Model
from train.settings import Settings
from train.stream import Batch, Task


class ZeroShot:
    """Learns nothing."""

    trains, joint = False, False

    def __init__(self, model: Model, settings: Settings, classes: int, seed: int) -> None:
        self.model = model

    def begin_task(self, task: Task) -> None:
        """Nothing to prepare."""

    def losses(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """No term at all."""
        return {}

    def end_task(self, task: Task) -> None:
        """Nothing is remembered."""

    def generators(self) -> dict[str, Generator]:
        """It draws nothing."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing."""

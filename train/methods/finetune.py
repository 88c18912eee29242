"""Finetune: the same adapters, the contrastive loss alone."""

from torch import Generator, Tensor

from train.adapters import Noise
from train.features import logit_factor, pair_features
from train.losses import contrastive
from train.model import Model
from train.settings import Settings
from train.stream import Batch, Task


class Finetune:
    """Learns each task and guards nothing."""

    trains, joint = True, False

    def __init__(self, model: Model, settings: Settings, classes: int, seed: int) -> None:
        self.model, self.settings = model, settings
        self.task = 0

    def begin_task(self, task: Task) -> None:
        """Note whose prototype routes."""
        self.task = task.number

    def losses(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Cross entropy over word-frame similarities, both directions."""
        pairs = pair_features(self.model, batch, self.task, noise)
        return {"contrastive": contrastive(pairs.similarity * logit_factor(self.model.scale, self.settings, len(batch.ids)))}

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

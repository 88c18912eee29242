"""FrameFusionMoE: global similarity and CTVR's cross-task loss, in which old videos are negatives (SIGIR 2025)."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from train.adapters import Noise
from train.losses import cross_task_contrastive, pooled_unit
from train.model import Model
from train.settings import Settings
from train.stream import Batch, Task


class FrameFusionMoE:
    """L = NCE at task 1, later 0.4 NCE + 0.6 CE of captions against new videos and stored old ones; unit global embeddings.

    The stored videos are old tasks' training clips; with ``negatives: test``, as released, their test clips.
    """

    trains, joint = True, False

    def __init__(self, model: Model, settings: Settings, classes: int, seed: int) -> None:
        self.model = model
        self.stored = torch.zeros(0, model.dim, device=model.logit_scale.device)
        self.task = 0

    def begin_task(self, task: Task) -> None:
        """Note whose prototype routes."""
        self.task = task.number

    def losses(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The cross-task loss."""
        video = pooled_unit(self.model.video(batch.tokens)[batch.place])
        text = F.normalize(self.model.text(batch.ids, self.task, noise).text, dim=-1)
        return {"cross_task": cross_task_contrastive(video, text, self.stored if len(self.stored) else None, self.model.scale)}

    def end_task(self, task: Task) -> None:
        """Store the task's clips as the model now sees them."""
        self.stored = torch.cat([self.stored, self.model.encode_video(task.negatives).squeeze(1)])

    def generators(self) -> dict[str, Generator]:
        """It draws nothing."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """The stored videos."""
        return {"stored": self.stored}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take them up."""
        self.stored = state["stored"].to(self.model.logit_scale.device)

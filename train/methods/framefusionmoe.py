"""FrameFusionMoE: global similarity and CTVR's cross-task loss (SIGIR 2025)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ..contrastive import contrastive, pooled_unit
from ..method_config import MethodConfig
from ..stream import Batch, Task
from .adapted import AdaptedMethod, AdapterOptions

CROSS_TASK_SHARE = 0.6  # CTVR's loss_scale


@dataclass(frozen=True)
class FrameFusionMoEOptions(AdapterOptions):
    """``negatives``: the clips of old tasks that are stored; in CTVR's code, test clips."""

    similarity: Literal["fused", "global"] = "global"
    negatives: Literal["train", "test"] = "train"


class FrameFusionMoE(AdaptedMethod):
    """NCE at task 1, later 0.4 NCE + 0.6 CE of captions against new and stored old videos."""

    Options = FrameFusionMoEOptions
    options: FrameFusionMoEOptions
    stored: Tensor

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        self.register_buffer("stored", torch.zeros(0, self.towers.dim))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The cross-task loss."""
        video = pooled_unit(self.frames(batch.tokens).index_select(0, batch.index))
        text = self.text_features(batch.token_ids, self.task, self.noise()).text
        stored = self.stored if len(self.stored) else None
        loss = cross_task_contrastive(video, F.normalize(text, dim=-1), stored, self.towers.scale)
        return {"cross_task": loss}

    def end_task(self, task: Task) -> None:
        """Store the task's clips as the model now encodes them."""
        tokens = task.eval_tokens() if self.options.negatives == "test" else task.tokens[0]
        self.stored = torch.cat([self.stored, self.encode_videos(tokens).squeeze(1)])
        super().end_task(task)


def cross_task_contrastive(
    video: Tensor,
    text: Tensor,
    stored: Tensor | None,
    scale: Tensor | float,
    share: float = CROSS_TASK_SHARE,
) -> Tensor:
    """Contrastive loss of unit global embeddings [B, D], logits times ``scale``.

    With stored old videos [R, D], ``share`` of it is the cross entropy of texts against all videos.
    """
    nce = contrastive(video @ text.T * scale)
    if stored is None:
        return nce
    logits = torch.cat([text @ video.T, text @ stored.T], dim=1) * scale
    target = torch.arange(len(text), device=text.device)
    return (1 - share) * nce + share * F.cross_entropy(logits, target)

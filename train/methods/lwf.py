"""LwF, learning without forgetting: CLIP4Clip's model, distilled (baseline of CTVR)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ..contrastive import contrastive
from ..method_config import MethodConfig
from ..stream import Batch, Task
from .base import Encoder
from .clip4clip import CLIP4Clip, CLIP4ClipOptions

TEMPERATURE = 2.0


@dataclass(frozen=True)
class LwFOptions(CLIP4ClipOptions):
    """``teacher``: the method before the task, or as CTVR's code has it, zero-shot CLIP."""

    teacher: Literal["previous", "pretrained"] = "previous"


class LwF(CLIP4Clip):
    """L = NCE(v, t) + dist(Z*, Z) + dist(Z*^T, Z^T), Z* = e^tau v* t*^T and Z = e^tau v t*^T.

    v and t are the student's unit video and text, v* and t* the teacher's, from task 1 on.
    """

    Options = LwFOptions
    options: LwFOptions

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        self.taught_videos = self.taught_texts = torch.zeros(0)

    def begin_task(self, task: Task) -> None:
        """Embed the training set once with the teacher: videos [views, M, D] and texts."""
        super().begin_task(task)
        teacher = self if self.options.teacher == "previous" else self.pretrained
        videos = [teacher.encode_videos(view).squeeze(1) for view in task.tokens]
        self.taught_videos = torch.stack(videos)
        self.taught_texts = self.teach_texts(task, teacher)

    def teach_texts(self, task: Task, teacher: Encoder) -> Tensor:
        """The teacher's unit embeddings of the task's captions [Q, D]."""
        return F.normalize(teacher.encode_texts(task.token_ids, task.number).text, dim=-1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Contrast, and distillation of the videos' relations to the teacher's texts."""
        scale = self.towers.scale
        video, text = self.embeddings(batch)
        taught = self.taught_videos[batch.view, batch.clips]
        return {
            "contrastive": contrastive(scale * video @ text.T),
            "distillation": distil_relations(taught, video, self.texts_of(batch), scale),
        }

    def texts_of(self, batch: Batch) -> Tensor:
        """The teacher's texts that a batch is distilled with: its captions' [B, D]."""
        return self.taught_texts[batch.captions]


def distil_relations(taught: Tensor, video: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """dist(Z*, Z) + dist(Z*^T, Z^T): videos [B, D] of teacher and student, its texts [R, D]."""
    target, student = scale * taught @ texts.T, scale * video @ texts.T
    return distillation(target, student) + distillation(target.T, student.T)


def distillation(target: Tensor, student: Tensor) -> Tensor:
    """T^2 times rows' mean cross entropy: -sum softmax(target / T) log softmax(student / T)."""
    soft = F.softmax(target / TEMPERATURE, -1)
    log = F.log_softmax(student / TEMPERATURE, -1)
    return -(TEMPERATURE**2) * (soft * log).sum(-1).mean()

"""LwF, learning without forgetting: all of CLIP is trained, and distilled (baseline of CTVR)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...cache.clip.backbone import Backbone
from ..losses import contrastive, pooled_unit
from ..model.similarity import global_similarity
from ..model.towers import TextFeatures, Towers
from ..optimizer import ParameterGroup
from ..settings import MethodConfig
from ..stream import Batch, Task
from .base import Method

TEMPERATURE = 2.0


@dataclass(frozen=True)
class LwFOptions:
    """``teacher``: the method before the task, or as CTVR's code has it, zero-shot CLIP."""

    teacher: Literal["previous", "pretrained"] = "previous"


class LwF(Method):
    """L = NCE(v, t) + dist(Z*, Z) + dist(Z*^T, Z^T), Z* = e^tau v* t*^T and Z = e^tau v t*^T.

    v and t are the student's unit video and text, v* and t* the teacher's, from task 1 on. Videos
    are mean frames (CLIP4Clip). Every parameter after the cut is trained but the temperature; the
    text tower gets no gradient from the distillation.
    """

    Options = LwFOptions
    options: LwFOptions

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        self.student = Towers(backbone, self.settings.compute, trainable=True)
        self.taught_videos = self.taught_texts = torch.zeros(0)

    def begin_task(self, task: Task) -> None:
        """Embed the training set once with the teacher: videos [views, M, D], texts [Q, D]."""
        super().begin_task(task)
        teacher = self if self.options.teacher == "previous" else self.pretrained
        videos = [teacher.encode_videos(view).squeeze(1) for view in task.tokens]
        self.taught_videos = torch.stack(videos)
        texts = teacher.encode_texts(task.ids, task.number).text
        self.taught_texts = F.normalize(texts, dim=-1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Contrast, and distillation of the relations to the teacher's texts."""
        scale = self.towers.scale
        video = pooled_unit(self.frames(batch.tokens).index_select(0, batch.place))
        text = F.normalize(self.text_features(batch.ids, self.task).text, dim=-1)
        taught_text = self.taught_texts[batch.captions]
        target = scale * self.taught_videos[batch.view, batch.clips] @ taught_text.T
        student = scale * video @ taught_text.T
        rows, columns = distillation(target, student), distillation(target.T, student.T)
        return {"contrastive": contrastive(scale * video @ text.T), "distillation": rows + columns}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Both towers."""
        text, video = self.student.text, self.student.video
        return [
            ParameterGroup("text", list(text.parameters())),
            ParameterGroup("vision", list(video.parameters())),
        ]

    def frames(self, tokens: Tensor) -> Tensor:
        """Frame embeddings [B, N, D] by the trained tower."""
        return self.student.video(tokens)

    def text_features(self, ids: Tensor, task: int | None) -> TextFeatures:
        """Captions [B, L] by the trained tower, whatever the task."""
        return self.student.text_features(ids)

    def gallery_embeddings(self, frames: Tensor) -> Tensor:
        """The unit mean frame [V, 1, D]."""
        return pooled_unit(frames)[:, None]

    def similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """The cosine of text and mean frame."""
        return {"global": global_similarity(videos, texts.text).T}


def distillation(target: Tensor, student: Tensor) -> Tensor:
    """T^2 times the mean cross entropy of rows: -sum softmax(target / T) log softmax(student / T).

    Its minimum is the target's entropy, not 0. Both [B, B], T = 2.
    """
    soft = F.softmax(target / TEMPERATURE, -1)
    log = F.log_softmax(student / TEMPERATURE, -1)
    return -(TEMPERATURE**2) * (soft * log).sum(-1).mean()

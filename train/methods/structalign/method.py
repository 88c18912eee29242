"""StructAlign: relation preserving, cross-modal ETF alignment, prototype replay (SIGIR 2026)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ....backbones.backbone import Backbone
from ...contrastive import contrastive, pooled_unit
from ...method_config import MethodConfig
from ...model.adapters import uniform
from ...model.similarity import word_frame_similarity
from ...optimizer import ParameterGroup
from ...seeds import generator
from ...stream import Batch, Task
from ..adapted import AdaptedMethod, AdapterOptions, PairFeatures
from .losses import etf_alignment, prototype_alignment, prototype_replay, relation_preserving
from .prototypes import ClassPrototypes
from .simplex import Kind, class_directions, grow_directions

DEVIATIONS = (
    "logits", "etf_projections", "words", "prototypes", "prototype_labels", "clip_scope",
)  # fmt: skip


@dataclass(frozen=True)
class StructAlignOptions(AdapterOptions):
    """Weights of losses, the teacher, directions; ``DEVIATIONS`` are the official code's."""

    crp_weight: float = 10.0
    etf_weight: float = 0.1
    replay_weight: float = 0.5
    teacher: Literal["pretrained", "previous"] = "previous"
    etf: Kind = "open"
    etf_classes: int | None = None
    logits: Literal["fixed", "batch"] = "fixed"
    etf_projections: Literal["trained", "fixed_swapped"] = "trained"
    words: Literal["real", "released"] = "real"
    prototypes: Literal["trained_path", "released"] = "trained_path"
    prototype_labels: Literal["global", "within_task"] = "global"
    clip_scope: Literal["optimised", "all"] = "optimised"

    @property
    def deviates(self) -> bool:
        """Whether an option asks for a deviation of the official code."""
        return any(getattr(self, name) != getattr(StructAlignOptions, name) for name in DEVIATIONS)


@dataclass(frozen=True)
class Teacher:
    """A frozen model's frames [views, M, N, D], words [Q, L, D], lengths [Q], and exp(tau)."""

    frames: Tensor
    words: Tensor
    lengths: Tensor
    scale: Tensor

    def similarity(self, batch: Batch) -> Tensor:
        """Word-frame similarity [B, B] of a batch."""
        frames, captions = self.frames[batch.view, batch.clips], batch.captions
        return word_frame_similarity(frames, self.words[captions], self.lengths[captions])


@dataclass(frozen=True)
class Replayed:
    """Drawn (text, video, labels): twice the batch for the ETF loss, once for the contrast."""

    etf: tuple[Tensor, Tensor, Tensor]
    contrast: tuple[Tensor, Tensor, Tensor]


class StructAlign(AdaptedMethod):
    """L = base + lambda ETF + 0.5 replay with base = NCE + 10 CRP; terms of weight 0 are left out.

    lambda = 0.1 base / ETF is constant in the gradient. CRP and replay begin with task 2.
    """

    Options = StructAlignOptions
    options: StructAlignOptions

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        dim, rng = self.towers.dim, generator(seed, "etf_projections")
        self.etf_text, self.etf_video = (
            nn.Parameter(uniform((dim, dim), dim**-0.5, rng)) for _ in "tv"
        )
        self.prototypes = ClassPrototypes(dim)
        self.directions = torch.zeros(0, dim)
        self.teacher: Teacher | None = None

    def begin_task(self, task: Task) -> None:
        """Embed the training set once with the teacher, which is fixed during a task."""
        super().begin_task(task)
        o = self.options
        if o.etf_weight:
            if not len(self.directions):
                rng = generator(0, "etf")
                directions = class_directions(o.etf, o.etf_classes, self.towers.dim, rng)
                self.directions = directions.to(self.device)
            self.directions = grow_directions(self.directions, task.classes)
        self.teacher = None
        if o.crp_weight and task.number > 1:
            model = self if o.teacher == "previous" else self.pretrained
            text = model.encode_texts(task.token_ids, task.number - 1)
            frames = torch.stack([model.encode_frames(view) for view in task.tokens])
            self.teacher = Teacher(frames, text.words, text.lengths, self.towers.scale.detach())

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of the loss."""
        pairs, o = self.pair_features(batch), self.options
        size = len(batch.token_ids)
        logits = pairs.similarity * self.logit_factor(self.towers.scale, size)
        terms = {"contrastive": contrastive(logits)}
        if self.teacher is not None:
            factor = self.logit_factor(self.teacher.scale, size)
            taught = self.teacher.similarity(batch) * factor
            terms["crp"] = o.crp_weight * relation_preserving(logits, taught)
        base = torch.stack(list(terms.values())).sum()
        replayed = self.draw_prototypes(size)
        if o.etf_weight:
            etf = self.etf_loss(pairs, batch.labels, replayed)
            terms["etf"] = o.etf_weight * base.detach() / etf.detach() * etf
        if replayed is not None and o.replay_weight:
            terms["replay"] = o.replay_weight * self.replay_loss(pairs, replayed)
        return terms

    def etf_loss(self, pairs: PairFeatures, labels: Tensor, replayed: Replayed | None) -> Tensor:
        """ETF alignment of the batch, and of drawn prototypes of old classes if there are any."""
        words, frames = pairs.words @ self.etf_text.T, pairs.frames @ self.etf_video.T
        loss = etf_alignment(words, pairs.lengths, frames, self.directions[labels])
        if replayed is None:
            return loss
        text, video, drawn = replayed.etf
        text, video = self.project_prototypes(text, video)
        return loss + prototype_alignment(text, video, self.directions[drawn])

    def project_prototypes(self, text: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Drawn prototypes [R, D] in the space of the class directions."""
        return text @ self.etf_text.T, video @ self.etf_video.T

    def replay_loss(self, pairs: PairFeatures, replayed: Replayed) -> Tensor:
        """Contrast of the batch's pooled pairs and drawn prototypes, with CLIP's temperature."""
        text, video, _ = replayed.contrast
        batch_video = pooled_unit(pairs.frames)
        batch_text = pooled_unit(pairs.words, pairs.lengths)
        return prototype_replay(batch_video, batch_text, video, text, self.towers.scale)

    def draw_prototypes(self, batch: int) -> Replayed | None:
        """Drawn prototypes of old classes for one step; None in the first task."""
        o, rng = self.options, self.draws("replay")
        if not len(self.prototypes) or not (o.replay_weight or o.etf_weight):
            return None
        return Replayed(self.prototypes.draw(2 * batch, rng), self.prototypes.draw(batch, rng))

    def end_task(self, task: Task) -> None:
        """Remember mean and radius of the task's classes."""
        self.prototypes.add(*self.prototype_features(task))
        super().end_task(task)

    @torch.no_grad()
    def prototype_features(self, task: Task) -> tuple[Tensor, Tensor, Tensor]:
        """Class, unit text and unit video feature of every pair, by the trained route, view 0."""
        text = self.encode_texts(task.token_ids, task.number)
        of_caption = task.caption_clip.to(self.device)
        video = pooled_unit(self.encode_frames(task.tokens[0]))[of_caption]
        labels = task.clip_labels[of_caption]
        return labels, pooled_unit(text.words, text.lengths), video

    def warnings(self) -> list[str]:
        """A line when more classes came than the simplex has directions."""
        o, classes = self.options, len(self.prototypes.labels.unique())
        is_sized = o.etf != "open" and o.etf_classes is not None
        vertices = int(o.etf_classes or 0) if is_sized else self.towers.dim + 1
        if not o.etf_weight or classes <= vertices:
            return super().warnings()
        return [
            *super().warnings(),
            f"{classes - vertices} of {classes} classes came after the simplex of {vertices} was "
            "full: their directions are spread between the others, not equiangular",
        ]

    def parameter_groups(self) -> list[ParameterGroup]:
        """The adapters', and the projections of the ETF loss."""
        projections = [self.etf_text, self.etf_video]
        return [*super().parameter_groups(), ParameterGroup("other", projections)]

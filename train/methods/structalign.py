"""StructAlign: contrast, cross-modal relation preserving, cross-modal ETF alignment, prototype replay (SIGIR 2026)."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from cache.errors import StructAlignError
from train.adapters import Noise
from train.etf import gaussian_frame, simplex_etf
from train.features import PairFeatures, logit_factor, pair_features
from train.losses import contrastive, etf_alignment, pooled_unit, prototype_alignment, prototype_replay, relation_preserving
from train.model import Model
from train.prototypes import ClassPrototypes
from train.seeds import generator
from train.settings import Settings
from train.similarity import word_frame_similarity
from train.stream import Batch, Task


@dataclass(frozen=True)
class Teacher:
    """A frozen model's embeddings of a task's training set: frames [views, M, N, D], words [Q, L, D], lengths [Q]; its exp(tau)."""

    frames: Tensor
    words: Tensor
    lengths: Tensor
    scale: Tensor

    def similarity(self, batch: Batch) -> Tensor:
        """Word-frame similarity [B, B] of a batch."""
        return word_frame_similarity(self.frames[batch.view, batch.clips], self.words[batch.captions], self.lengths[batch.captions])


class StructAlign:
    """L = base + lambda ETF + 0.5 replay, base = NCE + 10 CRP, lambda = 0.1 base / ETF held constant in the gradient.

    CRP and replay begin with task 2. Any of the three terms is left out when its weight is 0.
    """

    trains, joint = True, False

    def __init__(self, model: Model, settings: Settings, classes: int, seed: int) -> None:
        self.model, self.settings, self.seed = model, settings, seed
        device = model.logit_scale.device
        self.directions = torch.zeros(0, device=device)
        if settings.etf_weight:
            frame = simplex_etf if settings.etf == "simplex" else gaussian_frame
            self.directions = frame(classes, model.dim, generator(0, "etf")).to(device)
        self.prototypes = ClassPrototypes.empty(model.dim, device)
        self.teacher: Teacher | None = None
        self.task = 0
        self.draws = generator(seed, "replay")

    def begin_task(self, task: Task) -> None:
        """Embed the task's training set once with the teacher; nothing of it changes within the task."""
        self.task = task.number
        self.draws = generator(self.seed, "replay", task.number)
        self.teacher = None
        if self.settings.crp_weight and task.number > 1:
            previous = self.settings.teacher == "previous"
            text = self.model.encode_text(task.ids, task.number - 1, adapted=previous)
            with torch.no_grad():
                frames = torch.stack([torch.cat([self.model.video(part, previous) for part in view.split(128)]) for view in task.tokens])
            self.teacher = Teacher(frames, text.words, text.lengths, self.model.scale.detach())

    def losses(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The weighted terms of the loss."""
        pairs = pair_features(self.model, batch, self.task, noise)
        factor = logit_factor(self.model.scale, self.settings, len(batch.ids))
        logits = pairs.similarity * factor
        terms = {"contrastive": contrastive(logits)}
        if self.teacher is not None:
            taught = self.teacher.similarity(batch) * logit_factor(self.teacher.scale, self.settings, len(batch.ids))
            terms["crp"] = self.settings.crp_weight * relation_preserving(logits, taught)
        base = torch.stack(list(terms.values())).sum()
        replayed = self._draw(len(batch.ids))
        if self.settings.etf_weight:
            etf = self.etf_loss(pairs, batch.labels, replayed)
            terms["etf"] = self.settings.etf_weight * base.detach() / etf.detach() * etf
        if replayed is not None and self.settings.replay_weight:
            terms["replay"] = self.settings.replay_weight * self.replay_loss(pairs, replayed)
        return terms

    def etf_loss(self, pairs: PairFeatures, labels: Tensor, replayed: "Replayed | None") -> Tensor:
        """ETF alignment of the batch, and of drawn prototypes of old classes when there are any."""
        text, video = self.model.etf_text, self.model.etf_video
        loss = etf_alignment(pairs.words @ text.T, pairs.lengths, pairs.frames @ video.T, self.directions[labels])
        if replayed is None:
            return loss
        if self.settings.etf_projections == "fixed_swapped":
            text, video = video, text
        drawn_text, drawn_video, drawn_labels = replayed.etf
        return loss + prototype_alignment(drawn_text @ text.T, drawn_video @ video.T, self.directions[drawn_labels])

    def replay_loss(self, pairs: PairFeatures, replayed: "Replayed") -> Tensor:
        """Contrast of the batch's pooled pairs among drawn prototypes; CLIP's whole temperature."""
        text, video, _ = replayed.contrast
        return prototype_replay(pooled_unit(pairs.frames), pooled_unit(pairs.words, pairs.lengths), video, text, self.model.scale)

    def end_task(self, task: Task) -> None:
        """Remember mean and radius of the task's classes."""
        text, video, labels = self._trained_path(task) if self.settings.prototypes == "trained_path" else self._released_path(task)
        if self.settings.prototype_labels == "within_task":
            labels = labels - task.first_class
        self.prototypes = self.prototypes.with_classes(labels, text, video)

    @torch.no_grad()
    def _trained_path(self, task: Task) -> tuple[Tensor, Tensor, Tensor]:
        """Unit text and video features and class of every pair, by the path that was trained, from view 0."""
        text = self.model.encode_text(task.ids, task.number)
        video = pooled_unit(torch.cat([self.model.video(part) for part in task.tokens[0].split(128)]))
        return pooled_unit(text.words, text.lengths), video[task.caption_clip], task.clip_labels[task.caption_clip]

    @torch.no_grad()
    def _released_path(self, task: Task) -> tuple[Tensor, Tensor, Tensor]:
        """The same as the released code has it: routed without prototype (at task 1 through experts that are still zero), from one more
        epoch of training batches, incomplete ones left out."""
        whole = [batch for batch in task.batches(self.settings.epochs) if len(batch.ids) == self.settings.batch]
        if not whole:
            raise StructAlignError(f"prototypes=released needs a whole batch of {self.settings.batch} pairs; task {task.number} has none")
        texts = [self.model.encode_text(batch.ids, None) for batch in whole]
        video = torch.cat([pooled_unit(self.model.video(batch.tokens))[batch.place] for batch in whole])
        return torch.cat([pooled_unit(t.words, t.lengths) for t in texts]), video, torch.cat([batch.labels for batch in whole])

    def generators(self) -> dict[str, Generator]:
        """Where replayed prototypes are drawn from."""
        return {"replay": self.draws}

    def state(self) -> dict[str, Tensor]:
        """The class prototypes."""
        return vars(self.prototypes)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take them up."""
        device = self.model.logit_scale.device
        self.prototypes = ClassPrototypes(**{name: value.to(device) for name, value in state.items()})

    def _draw(self, batch: int) -> "Replayed | None":
        if not len(self.prototypes.labels) or not (self.settings.replay_weight or self.settings.etf_weight):
            return None
        return Replayed(self.prototypes.draw(2 * batch, self.draws), self.prototypes.draw(batch, self.draws))


@dataclass(frozen=True)
class Replayed:
    """Drawn (text, video, labels): twice the batch for the ETF loss, once for the contrast."""

    etf: tuple[Tensor, Tensor, Tensor]
    contrast: tuple[Tensor, Tensor, Tensor]

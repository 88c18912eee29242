"""ZSCL: distillation on reference data, weights held near their start and averaged (baseline)."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ...cache.reader import FeatureCache
from ...core.errors import StructAlignError
from ...core.ranges import option
from ..contrastive import contrastive
from ..method_config import MethodConfig
from ..stream import Batch, Task
from .clip4clip import CLIP4Clip, CLIP4ClipOptions
from .lwf import distil_relations

STREAM = "stream"


@dataclass(frozen=True)
class ZSCLOptions(CLIP4ClipOptions):
    """Reference data, the pull to a task's start, and the largest number of averaged snapshots.

    ``reference`` is the folder of a cache of the same backbone, whose clips' first frames and
    captions are used; ``stream`` takes the task's own: LwF with a zero-shot teacher.
    """

    reference: str = STREAM
    reference_batch: int = option(64, above=0)
    l2_weight: float = 1.0
    snapshots: int = option(11, above=0)


class ZSCL(CLIP4Clip):
    """L = NCE(v, t) + dist(Z*, Z) + dist(Z*^T, Z^T) + l2 sum (theta - theta at the start)^2.

    Z* = e^tau v* R*^T of reference images and sentences by zero-shot CLIP, Z = e^tau v R*^T. W, the
    mean of the weights at the task's start and of its snapshots, is what the task leaves: it is
    evaluated, and starts the next (Zheng et al., ICCV 2023; CTVR's loss for the rest).
    """

    Options = ZSCLOptions
    options: ZSCLOptions
    merged: Tensor

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        self.ensemble = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("merged", torch.zeros((), dtype=torch.long))
        self.identity = (backbone.weights, backbone.cut, backbone.grid)
        self.start: list[Tensor] = []
        self.images = self.taught_images = self.taught_texts = torch.zeros(0)
        self.every = 1

    def begin_task(self, task: Task) -> None:
        """Embed the reference data with zero-shot CLIP, and copy the weights."""
        super().begin_task(task)
        images, token_ids = self._reference(task)
        self.images = images.to(self.device)
        self.taught_images = self.gallery_embeddings(self.pretrained.encode_frames(images))[:, 0]
        self.taught_texts = F.normalize(self.pretrained.encode_texts(token_ids).text, dim=-1)
        self.start = [p.detach().clone() for p in self.student.parameters()]
        self.ensemble.load_state_dict(self.student.state_dict())
        self.merged.zero_()
        updates = task.steps * self.settings.epochs
        gaps = self.options.snapshots - 1
        self.every = max(1, math.ceil((updates - 1) / gaps)) if gaps else updates

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Contrast of the batch, distillation of drawn reference images, pull to the start."""
        video, text = self.embeddings(batch)
        count = min(self.options.reference_batch, len(self.images))
        drawn = torch.randperm(len(self.images), generator=self.draws("reference"))[:count]
        drawn = drawn.to(self.device)
        images = self.gallery_embeddings(self.frames(self.images[drawn])).squeeze(1)
        scale, taught = self.towers.scale, self.taught_images[drawn]
        terms = {
            "contrastive": contrastive(scale * video @ text.T),
            "distillation": distil_relations(taught, images, self.taught_texts, scale),
        }
        if self.options.l2_weight and self.start:
            pairs = zip(self.student.parameters(), self.start, strict=True)
            moved = torch.stack([(p - start).square().sum() for p, start in pairs])
            terms["l2"] = self.options.l2_weight * moved.sum()
        return terms

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Merge a snapshot after updates 0, every, 2 every, ..."""
        if step % self.every == 0:
            self.merged += 1
            for average, current in zip(
                self.ensemble.parameters(), self.student.parameters(), strict=True
            ):
                average.copy_(merge(average, current, self.merged))

    def end_task(self, task: Task) -> None:
        """Replace the weights by their average."""
        self.student.load_state_dict(self.ensemble.state_dict())
        super().end_task(task)

    def warnings(self) -> list[str]:
        """A line when the run had no reference data."""
        if self.options.reference != STREAM:
            return []
        return ["zscl without reference data: distilled on the stream (reference=stream)"]

    def _reference(self, task: Task) -> tuple[Tensor, Tensor]:
        """Images as clips of one frame [R, 1, P, C], and sentences [Q, L]."""
        if self.options.reference == STREAM:
            return task.tokens[0][:, :1], task.token_ids
        cache = FeatureCache.open(self.options.reference)
        if (cache.spec.weights, cache.spec.cut, cache.spec.grid) != self.identity:
            raise StructAlignError(
                f"reference={self.options.reference}: made with another backbone or cut than the "
                "run's cache"
            )
        clips = cache.available(list(cache.catalog))
        tokens = torch.from_numpy(cache.tokens([clip.id for clip in clips]))
        return tokens[:, :1], self.tokenize([text for clip in clips for text in clip.captions])


def merge(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """(n W + theta) / (n + 1) after the n-th snapshot: the plain mean of start and snapshots."""
    return (average * count + current) / (count + 1)

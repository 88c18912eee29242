"""X-Pool: every caption pools the frames of every video by attention (baseline of CTVR)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ...core.errors import StructAlignError
from ...core.ranges import option
from ..contrastive import contrastive, pooled_unit
from ..method_config import MethodConfig
from ..model.adapters import Noise
from ..model.towers import TextFeatures
from ..optimizer import ParameterGroup
from ..stream import Batch
from .clip4clip import CLIP4Clip, CLIP4ClipOptions

TILE = 2**24  # elements of the pooled videos [V, T, D] in memory at a time


@dataclass(frozen=True)
class XPoolOptions(CLIP4ClipOptions):
    """Attention heads, and dropout of the last linear layer."""

    heads: int = option(1, above=0)
    pool_dropout: float = option(0.3, at_least=0, below=1)


class TextPooling(nn.Module):
    """p[v, t] = LN3(o + drop(W_l o)), o = LN2(W_o sum_n a_n W_v f'_n), a from W_q t' and W_k f'.

    f' = LN1(f), t' = LN1(t). It starts from identities: o then nearly selects frames.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise StructAlignError(f"setting heads={heads} does not divide the width {dim}")
        self.heads = heads
        self.query, self.key, self.value, self.out, self.last = (_identity(dim) for _ in range(5))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))

    def forward(
        self, texts: Tensor, frames: Tensor, noise: Noise | None = None, dropout: float = 0.0
    ) -> Tensor:
        """Texts [T, D] and frames [V, N, D], not normalised, to pooled videos [V, T, D]."""
        q = self.query(self.norm1(texts)).unflatten(-1, (self.heads, -1))
        normed = self.norm1(frames)
        k, v = (x(normed).unflatten(-1, (self.heads, -1)) for x in (self.key, self.value))
        logits = torch.einsum("thd,vnhd->vhtn", q, k) / math.sqrt(q.shape[-1])
        mixed = torch.einsum("vhtn,vnhd->vthd", logits.softmax(-1), v).flatten(2)
        o = self.norm2(self.out(mixed))
        added = self.last(o)
        if noise is not None and dropout:
            added = added * noise.dropout_mask(tuple(added.shape), added, dropout)
        return self.norm3(o + added)


class XPool(CLIP4Clip):
    """CLIP4Clip's loss over s[t, v] = <unit t, unit p[v, t]>; stored frames are not pooled."""

    Options = XPoolOptions
    options: XPoolOptions

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        self.pooling = TextPooling(self.towers.dim, self.options.heads)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Half the contrastive loss of all videos pooled by all texts."""
        frames = self.frames(batch.tokens).index_select(0, batch.index)
        text = self.text_features(batch.token_ids, self.task).text
        pooled = self.pooling(text, frames, self.noise(), self.options.pool_dropout)
        similarity = pooled_similarity(text, pooled)
        return {"contrastive": contrastive(self.towers.scale * similarity) / 2}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Both towers, and the pooling at ``lr_other``."""
        pooling = ParameterGroup("other", list(self.pooling.parameters()))
        return [*super().parameter_groups(), pooling]

    def gallery_embeddings(self, frames: Tensor) -> Tensor:
        """The frames [V, N, D], neither pooled nor normalised."""
        return frames

    def similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """The cosine of texts and of videos pooled by them, in tiles of videos."""
        tile = max(1, TILE // texts.text.numel())
        parts = [
            pooled_similarity(texts.text, self.pooling(texts.text, part))
            for part in videos.split(tile)
        ]
        return {"global": torch.cat(parts, 1)}

    def pretrained_similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """The cosine of text and mean frame, as the pooling is learnt."""
        return super().similarity(texts, pooled_unit(videos)[:, None])


def pooled_similarity(texts: Tensor, pooled: Tensor) -> Tensor:
    """<unit t, unit p[v, t]>: texts [T, D] and pooled videos [V, T, D] to [T, V]."""
    unit = F.normalize(pooled, dim=-1)
    return torch.einsum("td,vtd->tv", F.normalize(texts, dim=-1), unit)


def _identity(dim: int) -> nn.Linear:
    linear = nn.Linear(dim, dim)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear

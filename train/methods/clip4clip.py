"""CLIP4Clip: all of CLIP is trained, a video is its mean frame (baseline of CTVR)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from ...core.ranges import check_fields
from ..contrastive import contrastive, pooled_unit
from ..method_config import MethodConfig
from ..model.similarity import global_similarity
from ..model.towers import TextFeatures, Towers
from ..optimizer import ParameterGroup
from ..stream import Batch
from .base import Method


@dataclass(frozen=True)
class CLIP4ClipOptions:
    """``mean``: of raw frames (CTVR), or of unit frames (the official code)."""

    mean: Literal["raw", "unit"] = "raw"

    def __post_init__(self) -> None:
        check_fields(self)


class MeanFrame(Method):
    """L = ``share`` (CE(rows) + CE(columns)) of e^tau <t, v>, v the unit mean frame."""

    share = 1.0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The contrastive loss."""
        video, text = self.embeddings(batch)
        return {"contrastive": contrastive(self.towers.scale * video @ text.T) * self.share}

    def embeddings(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Unit videos and texts of a batch's pairs, both [B, D]."""
        frames = self.frames(batch.tokens).index_select(0, batch.index)
        text = self.text_features(batch.token_ids, self.task).text
        return self.gallery_embeddings(frames).squeeze(1), F.normalize(text, dim=-1)

    def gallery_embeddings(self, frames: Tensor) -> Tensor:
        """The unit mean frame [V, 1, D]."""
        return pooled_unit(frames)[:, None]

    def similarity(self, texts: TextFeatures, videos: Tensor) -> dict[str, Tensor]:
        """The cosine of text and mean frame."""
        return {"global": global_similarity(videos, texts.text).T}


class CLIP4Clip(MeanFrame):
    """CTVR's ``clip``: all after the cut is trained but the temperature; nothing is remembered."""

    Options = CLIP4ClipOptions
    options: CLIP4ClipOptions
    share = 0.5

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        self.student = Towers(backbone, self.settings.compute, trainable=True)

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters of both towers."""
        text, video = self.student.text, self.student.video
        return [
            ParameterGroup("text", list(text.parameters())),
            ParameterGroup("vision", list(video.parameters())),
        ]

    def frames(self, tokens: Tensor) -> Tensor:
        """Frame embeddings [B, N, D] by the trained tower."""
        return self.student.frames(tokens)

    def text_features(self, token_ids: Tensor, task: int | None) -> TextFeatures:
        """Captions [B, L] by the trained tower, for any task."""
        return self.student.text_features(token_ids)

    def gallery_embeddings(self, frames: Tensor) -> Tensor:
        """The unit mean frame [V, 1, D]."""
        is_unit = self.options.mean == "unit"
        return super().gallery_embeddings(F.normalize(frames, dim=-1) if is_unit else frames)

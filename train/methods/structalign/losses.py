"""StructAlign's losses. Shape letters: B batch, N frames, L words, D joint width, R drawn."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ...contrastive import contrastive

CRP_TEMPERATURE = 2.0


def relation_preserving(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-modal relation preserving: mean over both directions of T^2 KL(teacher || student)."""
    return 0.5 * (_divergence(logits, teacher) + _divergence(logits.T, teacher.T))


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    t = CRP_TEMPERATURE
    log_student, target = F.log_softmax(student / t, -1), F.softmax(teacher / t, -1)
    return t * t * F.kl_div(log_student, target, reduction="batchmean")


def etf_alignment(words: Tensor, lengths: Tensor, frames: Tensor, targets: Tensor) -> Tensor:
    """Cross-modal ETF alignment: each pair's pooled words and frames against its class direction.

    Pooling weights are softmax over <w', e>; each side adds 1 - cos; mean over the batch. Projected
    words [B, L, D], padded to ``lengths`` [B], and frames [B, N, D]; targets [B, D].
    """
    real = torch.arange(words.shape[1], device=words.device) < lengths[:, None]
    agreement = (words @ targets[:, :, None]).squeeze(-1).masked_fill(~real, -torch.inf)
    text = (agreement.softmax(-1)[..., None] * words).sum(1)
    video = ((frames @ targets[:, :, None]).softmax(1) * frames).sum(1)
    return prototype_alignment(text, video, targets)


def prototype_alignment(text: Tensor, video: Tensor, targets: Tensor) -> Tensor:
    """Mean of 1 - cos(text, target) plus 1 - cos(video, target). All [R, D]."""
    away = [1 - F.cosine_similarity(side, targets, dim=-1) for side in (text, video)]
    return (away[0] + away[1]).mean()


def prototype_replay(
    video: Tensor, text: Tensor, drawn_video: Tensor, drawn_text: Tensor, scale: Tensor | float
) -> Tensor:
    """Contrast of unit pairs [B, D] and drawn prototypes [R, D]: all are each other's negatives."""
    videos, texts = torch.cat([video, drawn_video]), torch.cat([text, drawn_text])
    return contrastive(videos @ texts.T * scale)

"""StructAlign's losses as functions of embeddings. Shape letters: B batch, N frames, L words, D joint width, C classes."""

import torch
from torch import Tensor
from torch.nn import functional as F

CRP_TEMPERATURE = 2.0


def contrastive(logits: Tensor) -> Tensor:
    """Cross entropy of rows plus that of columns (a sum, not a mean), target the diagonal. logits [B, B]."""
    target = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)


def relation_preserving(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-modal relation preserving loss: mean over both directions of T^2 KL(teacher || student), softened by T = 2."""
    return 0.5 * (_divergence(logits, teacher) + _divergence(logits.T, teacher.T))


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    t = CRP_TEMPERATURE
    return t * t * F.kl_div(F.log_softmax(student / t, -1), F.softmax(teacher / t, -1), reduction="batchmean")


def etf_alignment(words: Tensor, lengths: Tensor, frames: Tensor, targets: Tensor) -> Tensor:
    """Cross-modal ETF alignment: words and frames of a pair, pooled by their agreement with the class's direction, are drawn to it.

    Pooling weights are softmax over <w', e> without temperature; each side adds 1 - cos; mean over the batch.

    Args:
        words: projected words [B, L, D], padded. lengths: [B]. frames: projected frames [B, N, D].
        targets: the class direction of each pair [B, D].
    """
    real = torch.arange(words.shape[1], device=words.device) < lengths[:, None]
    agreement = (words @ targets[:, :, None]).squeeze(-1).masked_fill(~real, -torch.inf)
    text = (agreement.softmax(-1)[..., None] * words).sum(1)
    video = ((frames @ targets[:, :, None]).softmax(1) * frames).sum(1)
    return (_away(text, targets) + _away(video, targets)).mean()


def prototype_alignment(text: Tensor, video: Tensor, targets: Tensor) -> Tensor:
    """The same for drawn class prototypes, already projected: mean of (1 - cos) of text plus video. All [R, D]."""
    return (_away(text, targets) + _away(video, targets)).mean()


def prototype_replay(video: Tensor, text: Tensor, drawn_video: Tensor, drawn_text: Tensor, scale: Tensor | float) -> Tensor:
    """Contrast of pooled pairs together with drawn prototypes of old classes: all are each other's negatives.

    ``video`` and ``text`` are unit means [B, D]; drawn prototypes [R, D] are used as drawn.
    """
    return contrastive(torch.cat([video, drawn_video]) @ torch.cat([text, drawn_text]).T * scale)


def pooled_unit(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Unit vector of the mean over words (up to ``lengths``) or frames: [B, L, D] to [B, D]."""
    if lengths is None:
        return F.normalize(x.mean(1), dim=-1)
    real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return F.normalize((x * real[..., None]).sum(1) / lengths[:, None], dim=-1)


def cross_task_contrastive(video: Tensor, text: Tensor, stored_video: Tensor | None, scale: Tensor | float) -> Tensor:
    """FrameFusionMoE's loss on unit global embeddings; with stored old videos [R, D] 0.4 of it plus 0.6 of text against new and old."""
    nce = contrastive(video @ text.T * scale)
    if stored_video is None:
        return nce
    logits = torch.cat([text @ video.T, text @ stored_video.T], dim=1) * scale
    return 0.4 * nce + 0.6 * F.cross_entropy(logits, torch.arange(len(text), device=text.device))


def _away(x: Tensor, targets: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(x, targets, dim=-1)

"""The contrastive loss and the pooling that several methods share."""

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive(logits: Tensor) -> Tensor:
    """Cross entropy of rows plus that of columns (a sum), target the diagonal. logits [B, B]."""
    target = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)


def pooled_unit(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Unit vector of the mean over words (up to ``lengths``) or frames: [B, L, D] to [B, D]."""
    if lengths is None:
        return F.normalize(x.mean(1), dim=-1)
    real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return F.normalize((x * real[..., None]).sum(1) / lengths[:, None], dim=-1)

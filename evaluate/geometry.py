"""Geometry of the embeddings: angles between classes, and the drift of old tasks."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def class_cosines(features: Tensor, labels: Tensor) -> dict[str, Any] | None:
    """Cosines between the centred means of C classes, compared with a simplex.

    From features float [M, D] and the class of each int64 [M]: ``classes`` (C), ``ideal``
    (-1 / (C - 1), the simplex's cosine), ``deviation`` (root mean square from it) and ``quantiles``
    of the cosines; None for fewer than three classes, which always form a simplex.
    """
    means = torch.stack([features[labels == label].mean(0) for label in labels.unique()])
    count = len(means)
    if count < 3:
        return None
    unit = F.normalize(means - means.mean(0), dim=-1)
    above = torch.triu(torch.ones(count, count, dtype=torch.bool, device=means.device), 1)
    cosines = (unit @ unit.T)[above].double().cpu()
    ideal = -1 / (count - 1)
    quantiles = cosines.quantile(torch.tensor(QUANTILES, dtype=torch.float64))
    return {
        "classes": count,
        "ideal": ideal,
        "deviation": float((cosines - ideal).square().mean().sqrt()),
        "quantiles": [float(q) for q in quantiles],
    }


def drift(stored: Tensor, reencoded: Tensor) -> float:
    """Mean cosine of a task's embeddings [V, N, D], stored and encoded again; 1 is no drift."""
    return float(F.cosine_similarity(stored.cpu(), reencoded.cpu(), dim=-1).mean())

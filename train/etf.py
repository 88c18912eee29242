"""Simplex equiangular tight frames: the fixed directions that classes are drawn to."""

import torch
from torch import Generator, Tensor

from cache.errors import StructAlignError


def simplex_etf(num_classes: int, dim: int, generator: Generator) -> Tensor:
    """``num_classes`` unit vectors whose pairwise cosines all equal -1 / (num_classes - 1), turned at random.

    The rows of sqrt(K / (K-1)) (I - 11^T / K) written in an orthonormal basis of their (K-1)-dimensional span, which is
    then mapped into ``dim`` dimensions by a random isometry.

    Returns:
        float32 [num_classes, dim].

    Raises:
        StructAlignError: num_classes above dim + 1 (no such frame exists) or below 2.
    """
    if not 2 <= num_classes <= dim + 1:
        raise StructAlignError(f"a simplex ETF of {num_classes} classes does not exist in {dim} dimensions; it takes 2 to {dim + 1} classes")
    span = num_classes - 1
    helmert = torch.zeros(num_classes, span, dtype=torch.float64)  # orthonormal columns, each orthogonal to the ones vector
    for j in range(span):
        helmert[: j + 1, j] = 1.0
        helmert[j + 1, j] = -(j + 1.0)
        helmert[:, j] /= ((j + 1.0) * (j + 2.0)) ** 0.5
    noise = torch.randn(dim, span, dtype=torch.float64, generator=generator, device=generator.device).cpu()
    isometry, triangle = torch.linalg.qr(noise)
    isometry = isometry * triangle.diagonal().sign()  # makes the draw uniform
    return ((num_classes / span) ** 0.5 * helmert @ isometry.T).float()


def gaussian_frame(num_classes: int, dim: int, generator: Generator) -> Tensor:
    """What the released code uses: unit columns of W S with Gaussian W; equiangular only roughly. float32 [num_classes, dim]."""
    noise = torch.randn(dim, num_classes, generator=generator, device=generator.device).cpu()
    simplex = (num_classes / (num_classes - 1)) ** 0.5 * (torch.eye(num_classes) - 1 / num_classes)
    frame = noise @ simplex
    return (frame / frame.norm(dim=0, keepdim=True)).T.contiguous()

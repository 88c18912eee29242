"""Simplex equiangular tight frames: the fixed directions that classes are aligned with."""

from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ....core.errors import StructAlignError
from ...seeds import generator as make_generator

Kind = Literal["open", "simplex", "gaussian"]
STARTS, STEPS, RATE, SHARPEST = 16, 200, 0.1, 100.0


def class_directions(kind: Kind, classes: int | None, dim: int, generator: Generator) -> Tensor:
    """Unit directions by class number, float32 [C, dim]; dim + 1 where ``classes`` is None.

    ``open`` ignores it: each class takes the next of dim + 1 vertices of one simplex, any C of
    which, centred, form an exact C-simplex again.
    """
    count = dim + 1 if classes is None or kind == "open" else classes
    frame = gaussian_frame if kind == "gaussian" else simplex_etf
    return frame(count, dim, generator)


def grow_directions(directions: Tensor, count: int) -> Tensor:
    """At least ``count`` directions: the given ones, and further ones spread between them.

    No dim + 2 vectors are equiangular, and the directions of seen classes must stay. So each new
    one minimises its largest cosine with all before it, by projected gradient descent from
    ``STARTS`` random vectors, which depend on the number of its class alone. Float32 [C, D], unit.
    """
    for number in range(len(directions), count):
        rng = make_generator(0, "etf growth", number)
        candidates = F.normalize(torch.randn(STARTS, directions.shape[1], generator=rng), dim=1)
        candidates = candidates.to(directions)
        for step in range(STEPS):
            sharpness = SHARPEST * (step + 1) / STEPS
            pull = (sharpness * candidates @ directions.T).softmax(1) @ directions
            candidates = F.normalize(candidates - RATE * pull, dim=1)
        best = (candidates @ directions.T).amax(1).argmin()
        directions = torch.cat([directions, candidates[best, None]])
    return directions


def simplex_etf(num_classes: int, dim: int, generator: Generator) -> Tensor:
    """Unit vectors whose pairwise cosines all equal -1 / (num_classes - 1), rotated at random.

    The rows of sqrt(K / (K-1)) (I - 11^T / K) written in an orthonormal basis of their
    (K-1)-dimensional span, which a random isometry maps: float32 [num_classes, dim]. Raises
    StructAlignError for num_classes above dim + 1 (no such frame exists) or below 2.
    """
    if not 2 <= num_classes <= dim + 1:
        raise StructAlignError(
            f"a simplex ETF of {num_classes} classes does not exist in {dim} dimensions; "
            f"it takes 2 to {dim + 1} classes"
        )
    span = num_classes - 1
    # Orthonormal columns, each orthogonal to the ones vector.
    helmert = torch.zeros(num_classes, span, dtype=torch.float64)
    for j in range(span):
        helmert[: j + 1, j] = 1.0
        helmert[j + 1, j] = -(j + 1.0)
        helmert[:, j] /= ((j + 1.0) * (j + 2.0)) ** 0.5
    device = generator.device
    noise = torch.randn(dim, span, dtype=torch.float64, generator=generator, device=device).cpu()
    isometry, triangle = torch.linalg.qr(noise)
    isometry = isometry * triangle.diagonal().sign()  # makes the draw uniform
    return ((num_classes / span) ** 0.5 * helmert @ isometry.T).float()


def gaussian_frame(num_classes: int, dim: int, generator: Generator) -> Tensor:
    """The official code's frame [num_classes, dim]: unit columns of W S with Gaussian W."""
    noise = torch.randn(dim, num_classes, generator=generator, device=generator.device).cpu()
    scale = (num_classes / (num_classes - 1)) ** 0.5
    frame = noise @ (scale * (torch.eye(num_classes) - 1 / num_classes))
    return (frame / frame.norm(dim=0, keepdim=True)).T.contiguous()

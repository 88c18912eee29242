"""What a method claims, measured: how the classes lie, how far old tasks drift, which experts are used, how far the fusion gates are open."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.adapters import FrameFusion, TextExperts
from train.database import Block
from train.model import Model
from train.stream import Queries

SAMPLE = 64  # captions a task that the experts' use is measured on
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def class_cosines(features: Tensor, labels: Tensor) -> dict[str, Any] | None:
    """Cosines between centred class means of ``features`` [M, D]: quantiles, their deviation from the ideal simplex's -1 / (C - 1), and that.

    None for fewer than three classes, which always lie ideally.
    """
    means = torch.stack([features[labels == label].mean(0) for label in labels.unique()])
    if len(means) < 3:
        return None
    unit = F.normalize(means - means.mean(0), dim=-1)
    above = torch.triu(torch.ones(len(means), len(means), dtype=torch.bool, device=means.device), 1)
    cosines = (unit @ unit.T)[above].double().cpu()
    ideal = -1 / (len(means) - 1)
    return {
        "classes": len(means),
        "ideal": ideal,
        "deviation": float((cosines - ideal).square().mean().sqrt()),
        "quantiles": [float(q) for q in cosines.quantile(torch.tensor(QUANTILES, dtype=torch.float64))],
    }


def drift(stored: Block, fresh: Block) -> float:
    """Mean cosine between a task's frame embeddings as they were stored and as the model now makes them; 1 is none."""
    return float(F.cosine_similarity(stored.frames.cpu(), fresh.frames.cpu(), dim=-1).mean())


def gates(model: Model) -> dict[str, float]:
    """How far the frame fusion adapter of each vision block is open: alpha by block."""
    return {block: float(cast(FrameFusion, adapter).alpha.detach()) for block, adapter in model.video.adapters.items()}


@torch.no_grad()
def expert_use(model: Model, queries: Queries, task: int) -> list[float]:
    """Mean share of each expert in a task's captions, over blocks and slots: float [E], sums to 1. Task 1 uses its first expert alone."""
    experts = [cast(TextExperts, module) for module in model.text.experts]
    if task == 1:
        return [1.0] + [0.0] * (experts[0].up.shape[1] - 1)
    with _recorded(experts) as shares:
        model.encode_text(queries.ids[:SAMPLE], task)
    return torch.cat(shares).mean(0).tolist()


@contextmanager
def _recorded(experts: list[TextExperts]) -> Iterator[list[Tensor]]:
    """The mixture weights [S * B, E] of every call of some experts, as they are computed."""
    shares: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        u, slots, end, prototype, _, _ = inputs
        routing = u[torch.arange(len(u), device=u.device), end]
        shares.append(cast(TextExperts, module).gates(routing if prototype is None else routing + prototype, slots, None).flatten(0, 1).cpu())

    handles = [module.register_forward_pre_hook(keep) for module in experts]
    try:
        yield shares
    finally:
        for handle in handles:
            handle.remove()

"""Adapters: frame fusion in the vision tower, mixtures of LoRA experts in the text tower.

Shape letters: B batch, N frames, P tokens of a frame, C vision width, L token ids, H text width,
R rank, E experts, S adapter slots.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ...backbones.attention import attend

OUT = 3  # the adapter slots of a text block are q, k, v, out


class Noise:
    """Training noise from an explicit generator on the CPU, whose state is all a checkpoint needs.

    A device that has generators draws by itself, seeded by the CPU's generator for each draw.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self._elsewhere: dict[torch.device, Generator | None] = {}

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Standard normal draws of ``shape``, on the device and of the dtype of ``like``."""
        rng = self._on(like.device)
        draws = torch.randn(shape, generator=rng, device=rng.device, dtype=like.dtype)
        return draws.to(like.device)

    def dropout_mask(self, shape: tuple[int, ...], like: Tensor, dropout: float) -> Tensor:
        """Dropout's factors, 0 or 1 / (1 - dropout), of ``shape`` and like ``like``."""
        rng = self._on(like.device)
        draws = torch.rand(shape, generator=rng, device=rng.device).to(like.device)
        return (draws >= dropout).to(like.dtype) / (1 - dropout)

    def _on(self, device: torch.device) -> Generator:
        if device.type == self.generator.device.type:
            return self.generator
        if device not in self._elsewhere:
            try:
                self._elsewhere[device] = Generator(device)
            except RuntimeError:  # the device has none
                self._elsewhere[device] = None
        if (elsewhere := self._elsewhere[device]) is None:
            return self.generator
        seed = int(torch.randint(2**62, (), generator=self.generator))
        return elsewhere.manual_seed(seed)


class FrameFusion(nn.Module):
    """Frame fusion adapter of one vision block: (1 - alpha) F + alpha cross, alpha 0 at the start.

    Queries of the cross attention come from the guide frame (the previous one in even blocks, the
    next one in odd blocks, by absolute index; the edge frame guides itself).
    """

    def __init__(self, width: int, heads: int, block: int, generator: Generator) -> None:
        super().__init__()
        self.heads, self.uses_previous_frame = heads, block % 2 == 0
        bound = width**-0.5
        self.qkv_weight = nn.Parameter(uniform((3 * width, width), bound, generator))
        self.qkv_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_weight = nn.Parameter(uniform((width, width), bound, generator))
        self.out_bias = nn.Parameter(torch.zeros(width))
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, frames: int, queries: int) -> Tensor:
        """For the first ``queries`` tokens of each frame: [B*N, P, C] to [B*N, queries, C]."""
        width = x.shape[-1]
        q = F.linear(x[:, :queries], self.qkv_weight[:width], self.qkv_bias[:width])
        q = q.unflatten(0, (-1, frames))
        if self.uses_previous_frame:
            q = torch.cat([q[:, :1], q[:, :-1]], dim=1)
        else:
            q = torch.cat([q[:, 1:], q[:, -1:]], dim=1)
        k, v = F.linear(x, self.qkv_weight[width:], self.qkv_bias[width:]).chunk(2, dim=-1)
        out = attend(q.flatten(0, 1), k, v, self.heads)
        return F.linear(out, self.out_weight, self.out_bias)


@dataclass(frozen=True)
class Route:
    """How captions go through the experts; without the router expert 0 alone is used.

    ``prototype`` [H], or one a caption [B, H], is added to the routing input; ``noise`` is given
    while training: noisy routing and dropout (``TextExperts.draw``).
    """

    uses_router: bool
    prototype: Tensor | None = None
    noise: Noise | None = None


class Draws(NamedTuple):
    """Training noise of one call of the experts for S slots; None outside training.

    ``dropout`` factors [S, B, L, H] of the inputs, standard normal ``routing`` [S, B, E].
    """

    dropout: Tensor | None = None
    routing: Tensor | None = None


class TextExperts(nn.Module):
    """The four mixtures of LoRA experts of one text block (q, k, v, out), stacked.

    Each caption is routed, once per slot, by its pooled state plus the task prototype (TAME).
    """

    def __init__(
        self,
        width: int,
        experts: int,
        rank: int,
        scaling: float,
        top_k: int,
        dropout: float,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.scaling, self.top_k, self.dropout = scaling, min(top_k, experts), dropout
        bound = width**-0.5  # kaiming_uniform(a = sqrt 5)
        self.down = nn.Parameter(uniform((4, rank, width), bound, generator))
        self.up = nn.Parameter(torch.zeros(4, experts, width, rank))
        self.route = nn.Parameter(uniform((4, experts, width), bound, generator))
        self.noise = nn.Parameter(torch.zeros(4, experts, width))

    def draw(self, x: Tensor, route: Route) -> tuple[Draws, Draws]:
        """The noise of a block's two calls, for q, k, v and for out, like its input [B, L, H]."""

        def of(slots: int) -> Draws:
            if (noise := route.noise) is None:
                return Draws()
            dropout = routing = None
            if self.dropout:
                dropout = noise.dropout_mask((slots, *x.shape), x, self.dropout)
            if route.uses_router:
                routing = noise.normal((slots, len(x), self.route.shape[1]), self.route)
            return Draws(dropout, routing)

        return of(OUT), of(1)

    def gates(self, routing: Tensor, slots: slice, noise: Tensor | None) -> Tensor:
        """Mixture weights [S, B, E] for routing inputs [B, H], noisy with draws [S, B, E].

        Softmax over the top-k logits, 0 elsewhere; never in less than float32.
        """
        with torch.autocast(routing.device.type, enabled=False):
            routing = routing.to(self.route.dtype)
            logits = torch.einsum("seh,bh->sbe", self.route[slots], routing)
            if noise is not None:
                spread = torch.einsum("seh,bh->sbe", self.noise[slots], routing)
                spread = F.softplus(spread) + 1e-2
                logits = logits + noise * spread
        top, index = logits.topk(self.top_k, dim=-1)
        weights = top.softmax(-1, dtype=torch.promote_types(top.dtype, torch.float32))
        return torch.zeros_like(logits).scatter(-1, index, weights.to(logits.dtype))

    def routing_input(self, u: Tensor, pooled: Tensor, route: Route) -> Tensor:
        """Each caption's pooled state plus the task prototype, where there is one: [B, H]."""
        state = u[torch.arange(len(u), device=u.device), pooled]
        return state if route.prototype is None else state + route.prototype

    def forward(
        self, u: Tensor, slots: slice, pooled: Tensor, route: Route, noise: Draws
    ) -> Tensor:
        """What the slots add to their projections of ``u`` [B, L, H]: [S, B, L, H]."""
        down = self.down[slots]
        if noise.dropout is not None:
            z = torch.einsum("sblh,srh->sblr", u * noise.dropout, down)
        else:
            z = torch.einsum("blh,srh->sblr", u, down)
        if not route.uses_router:
            return self.scaling * torch.einsum("sblr,shr->sblh", z, self.up[slots, 0])
        gates = self.gates(self.routing_input(u, pooled, route), slots, noise.routing)
        up = self.up[slots]
        mixed = [gate @ of_slot.flatten(1) for gate, of_slot in zip(gates, up, strict=True)]
        weights = torch.stack(mixed).unflatten(2, up.shape[2:])
        return self.scaling * torch.einsum("sblr,sbhr->sblh", z, weights)

    @torch.no_grad()
    def copy_first_expert(self) -> None:
        """Copy the first expert to all others, so that routing starts as a no-op."""
        self.up[:, 1:] = self.up[:, :1]


def uniform(shape: tuple[int, ...], bound: float, generator: Generator) -> Tensor:
    """Draws from [-bound, bound)."""
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound

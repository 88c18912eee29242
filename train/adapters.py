"""What is learnt: frame fusion adapters in the vision tail, LoRA experts in the text tower.

Shape letters: B batch, N frames, P tokens of a frame, C vision width, L ids, H text width, R rank, E experts, S adapter slots.
"""

from typing import Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

Q, K, V, OUT = range(4)  # the adapter slots of a text block


class Noise(Protocol):
    """Where training noise comes from."""

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Standard normal draws."""

    def keep(self, shape: tuple[int, ...], like: Tensor, dropout: float) -> Tensor:
        """Dropout's factors: 0, or 1 / (1 - dropout)."""


class GeneratorNoise:
    """Noise from an explicit generator on the CPU. On another device each draw is made there, seeded by the CPU's generator, whose state is
    then all there is to keep."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self._elsewhere: dict[torch.device, Generator] = {}

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Standard normal draws."""
        return torch.randn(shape, generator=self._on(like.device), device=like.device, dtype=like.dtype)

    def keep(self, shape: tuple[int, ...], like: Tensor, dropout: float) -> Tensor:
        """Dropout's factors."""
        kept = torch.rand(shape, generator=self._on(like.device), device=like.device) >= dropout
        return kept.to(like.dtype) / (1 - dropout)

    def _on(self, device: torch.device) -> Generator:
        if device.type == self.generator.device.type:
            return self.generator
        seed = int(torch.randint(2**62, (), generator=self.generator))
        return self._elsewhere.setdefault(device, Generator(device)).manual_seed(seed)


class FrameFusion(nn.Module):
    """Frame fusion adapter of one vision block: a frame is looked at from its neighbour's tokens.

    Queries come from the guide frame (the previous one in even blocks, the next one in odd blocks, by absolute index; the edge
    frame guides itself), keys and values from the frame itself. ``alpha`` mixes it in: (1 - alpha) F + alpha cross. It starts at 0.
    """

    def __init__(self, width: int, heads: int, block: int, generator: Generator) -> None:
        super().__init__()
        self.heads, self.forwards = heads, block % 2 == 0
        bound = width**-0.5
        self.qkv_weight = nn.Parameter(_uniform((3 * width, width), bound, generator))
        self.qkv_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_weight = nn.Parameter(_uniform((width, width), bound, generator))
        self.out_bias = nn.Parameter(torch.zeros(width))
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, frames: int, queries: int) -> Tensor:
        """Cross attention for the first ``queries`` tokens of each frame: [B*N, P, C] to [B*N, queries, C]."""
        width = x.shape[-1]
        q = F.linear(x[:, :queries], self.qkv_weight[:width], self.qkv_bias[:width]).unflatten(0, (-1, frames))
        q = torch.cat([q[:, :1], q[:, :-1]], dim=1) if self.forwards else torch.cat([q[:, 1:], q[:, -1:]], dim=1)
        k, v = F.linear(x, self.qkv_weight[width:], self.qkv_bias[width:]).chunk(2, dim=-1)
        return F.linear(attend(q.flatten(0, 1), k, v, self.heads), self.out_weight, self.out_bias)


class TextExperts(nn.Module):
    """The four mixtures of LoRA experts of one text block (q, k, v, out), stacked.

    Task 1 uses expert 0 alone; later each caption is routed, once per slot, by its end-of-text state plus the task prototype.
    """

    def __init__(self, width: int, experts: int, rank: int, scaling: float, top_k: int, dropout: float, generator: Generator) -> None:
        super().__init__()
        self.scaling, self.top_k, self.dropout = scaling, min(top_k, experts), dropout
        self.down = nn.Parameter(_uniform((4, rank, width), width**-0.5, generator))  # kaiming_uniform(a = sqrt 5)
        self.up = nn.Parameter(torch.zeros(4, experts, width, rank))
        self.route = nn.Parameter(_uniform((4, experts, width), width**-0.5, generator))
        self.noise = nn.Parameter(torch.zeros(4, experts, width))

    def gates(self, routing: Tensor, slots: slice, noise: Noise | None) -> Tensor:
        """Mixture weights [S, B, E] for routing inputs [B, H]: softmax over the top-k logits, 0 elsewhere; noisy when training.

        Never in less than float32, so that routing adds no rounding of its own.
        """
        with torch.autocast(routing.device.type, enabled=False):
            routing = routing.to(self.route.dtype)
            logits = torch.einsum("seh,bh->sbe", self.route[slots], routing)
            if noise is not None:
                spread = F.softplus(torch.einsum("seh,bh->sbe", self.noise[slots], routing)) + 1e-2
                logits = logits + noise.normal(tuple(logits.shape), logits) * spread
        top, index = logits.topk(self.top_k, dim=-1)
        weights = top.softmax(-1, dtype=torch.promote_types(top.dtype, torch.float32)).to(logits.dtype)
        return torch.zeros_like(logits).scatter(-1, index, weights)

    def forward(self, u: Tensor, slots: slice, end: Tensor, prototype: Tensor | None, routed: bool, noise: Noise | None) -> Tensor:
        """What the slots add to their projections of ``u`` [B, L, H]: [S, B, L, H]."""
        down = self.down[slots]
        if noise is not None and self.dropout:
            inputs = u * noise.keep((len(down), *u.shape), u, self.dropout)
            z = torch.einsum("sblh,srh->sblr", inputs, down)
        else:
            z = torch.einsum("blh,srh->sblr", u, down)
        if not routed:
            return self.scaling * torch.einsum("sblr,shr->sblh", z, self.up[slots, 0])
        routing = u[torch.arange(len(u), device=u.device), end]
        gates = self.gates(routing if prototype is None else routing + prototype, slots, noise)
        up = self.up[slots]
        mixed = torch.stack([g @ of_slot.flatten(1) for g, of_slot in zip(gates, up, strict=True)]).unflatten(2, up.shape[2:])
        return self.scaling * torch.einsum("sblr,sbhr->sblh", z, mixed)

    @torch.no_grad()
    def copy_first_expert(self) -> None:
        """All experts become the first one, so that routing starts as a no-op; done once, after task 1."""
        self.up[:, 1:] = self.up[:, :1]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Multi-head softmax attention: q [B, Lq, C], k and v [B, L, C] to [B, Lq, C]; scale (C / heads)^-1/2."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal).transpose(1, 2).flatten(2)


def _uniform(shape: tuple[int, ...], bound: float, generator: Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound

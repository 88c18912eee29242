"""MoE-Adapter: mixtures of bottleneck adapters in every block of both towers (baseline of CTVR)."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from ...backbones.attention import attend, query_key_value
from ...backbones.backbone import Backbone
from ...core.errors import StructAlignError
from ...core.ranges import check_fields, option
from ..method_config import MethodConfig
from ..model.adapters import Noise, uniform
from ..model.towers import TextFeatures, autocast
from ..optimizer import ParameterGroup
from ..seeds import generator
from ..stream import Task
from .base import in_batches
from .clip4clip import MeanFrame


@dataclass(frozen=True)
class MoEAdapterOptions:
    """Adapters of a block: ``top_k`` are used by a sample, and as many frozen after a task."""

    experts: int = option(22, above=0)
    top_k: int = option(2, above=0)
    adapter_width: int = option(64, above=0)
    adapter_scale: float = 0.1
    dropout: float = option(0.1, at_least=0, below=1)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.top_k > self.experts:
            raise StructAlignError(f"top_k={self.top_k} is more than experts={self.experts}")


class AdapterMixture(nn.Module):
    """The adapters of one block, shared by all tasks, and a router for each task.

    sum_e g_e s (U_e relu(D_e y + b) + c); g is the softmax over the top logits of rho R_t, noisy
    when training: + eps (softplus(rho N_t) + 0.01). Routers start at 0. ``chosen`` counts how often
    each adapter was used since the task began; ``is_fixed`` marks those that are frozen.
    """

    chosen: Tensor
    is_fixed: Tensor

    def __init__(self, width: int, options: MoEAdapterOptions, rng: torch.Generator) -> None:
        super().__init__()
        self.options = options
        experts, inner = options.experts, options.adapter_width
        # kaiming_uniform(a = sqrt 5)
        self.down = nn.Parameter(uniform((1, experts, inner, width), width**-0.5, rng))
        self.down_bias = nn.Parameter(torch.zeros(1, experts, inner))
        self.up = nn.Parameter(torch.zeros(1, experts, width, inner))
        self.up_bias = nn.Parameter(torch.zeros(1, experts, width))
        self.routers, self.noises = nn.ParameterList(), nn.ParameterList()
        self.register_buffer("chosen", torch.zeros(experts, dtype=torch.long))
        self.register_buffer("is_fixed", torch.zeros(experts, dtype=torch.bool))

    def resize(self, tasks: int) -> None:
        """Have the routers of ``tasks`` tasks: those there are, then new ones."""
        shape = (self.down.shape[3], self.down.shape[1])
        for name in ("routers", "noises"):
            kept = nn.ParameterList(list(getattr(self, name))[:tasks])
            new = (nn.Parameter(self.down.new_zeros(shape)) for _ in range(len(kept), tasks))
            setattr(self, name, kept.extend(new))

    def gates(self, rho: Tensor, task: int, noise: Noise | None) -> Tensor:
        """Weights [B, E] for routing inputs [B, d] by the router of ``task``."""
        logits = rho @ self.routers[task - 1]
        if noise is not None:
            spread = F.softplus(rho @ self.noises[task - 1]) + 1e-2
            logits = logits + noise.normal(tuple(logits.shape), logits) * spread
        top, index = logits.topk(self.options.top_k, dim=-1)
        gates = torch.zeros_like(logits).scatter(-1, index, top.softmax(-1))
        if self.training:
            self.chosen += (gates.detach() > 0).sum(0)
        return gates

    def forward(self, y: Tensor, gates: Tensor, noise: Noise | None) -> Tensor:
        """What is added to y [B, L, d], gates [B, E]: [B, L, d]."""
        down, down_bias, up, up_bias = (
            torch.where(self.is_fixed.view(1, -1, *[1] * (p.ndim - 2)), p.detach(), p)[0]
            for p in (self.down, self.down_bias, self.up, self.up_bias)
        )
        inner = F.relu(torch.einsum("bld,ekd->eblk", y, down) + down_bias[:, None, None])
        if noise is not None and self.options.dropout:
            inner = inner * noise.dropout_mask(tuple(inner.shape), inner, self.options.dropout)
        weighted = inner * gates.T[:, :, None, None]
        added = torch.einsum("eblk,edk->bld", weighted, up) + (gates @ up_bias)[:, None]
        return self.options.adapter_scale * added

    @torch.no_grad()
    def fix_most_chosen(self) -> None:
        """Freeze the adapters that this task used most, and reset the counts."""
        self.is_fixed[self.chosen.topk(self.options.top_k).indices] = True
        self.chosen.zero_()


class MoEAdapter(MeanFrame):
    """NCE of e^tau <t, v>, v the unit mean frame; only adapters and the task's routers are trained.

    A video is routed by its class tokens' mean over frames (all tokens' where a tower has none), a
    caption by its start token (else its pooled one), block by block, by the router of its task.
    After a task the most chosen adapters of every block are
    frozen for good (Yu et al., CVPR 2024; towers as in CTVR).
    """

    Options = MoEAdapterOptions
    options: MoEAdapterOptions

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        rng = generator(seed, "initialisation")
        video, text = self.towers.video, self.towers.text
        width = backbone.token_shape[1]
        self.vision_mixtures, self.text_mixtures = (
            nn.ModuleList(AdapterMixture(wide, self.options, rng) for _ in blocks)
            for wide, blocks in ((width, video.blocks), (text.width, text.blocks))
        )

    @property
    def mixtures(self) -> list[AdapterMixture]:
        """The mixtures of both towers."""
        both = (*self.vision_mixtures, *self.text_mixtures)
        return [cast(AdapterMixture, mixture) for mixture in both]

    def begin_task(self, task: Task) -> None:
        """Add the task's router to every block."""
        super().begin_task(task)
        self._resize(task.number)

    def end_task(self, task: Task) -> None:
        """Freeze the adapters that the task used most."""
        for mixture in self.mixtures:
            mixture.fix_most_chosen()
        super().end_task(task)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Adapters (one that no sample chose, or that is fixed, is skipped) and routers."""
        newest = [p for m in self.mixtures for p in (*m.routers[-1:], *m.noises[-1:])]
        return [
            *_stacked("vision", self.vision_mixtures),
            *_stacked("text", self.text_mixtures),
            ParameterGroup("other", newest),
        ]

    def frames(self, tokens: Tensor) -> Tensor:
        """Frame embeddings [B, N, D] by the newest task's routers."""
        return self.routed_frames(tokens, max(1, self.task))

    def encode_frames(self, tokens: Tensor, task: int | None = None) -> Tensor:
        """Frame embeddings by the routers of ``task``, by default the newest."""
        route = task or max(1, self.task)
        return in_batches(lambda part: self.routed_frames(part, route), tokens, self.device)

    def routed_frames(self, tokens: Tensor, task: int) -> Tensor:
        """Tokens [B, N, P, C] to frame embeddings [B, N, D] by the routers of ``task``."""
        tail, noise = self.towers.video, self.noise()
        batch, frames = tokens.shape[:2]
        x = tokens.to(self.towers.logit_scale.dtype).flatten(0, 1)
        with autocast(self.towers.compute, x):
            for index, block in enumerate(tail.blocks):
                queries = tail.needed(index, x)
                attention = tail.attention(block, tail.attention_input(block, x), queries)
                y = tail.add_attention(block, x[:, :queries], attention)
                whole = y.unflatten(0, (batch, frames))
                summary = whole[:, :, 0] if tail.prefix else whole.mean(2)
                mixture = cast(AdapterMixture, self.vision_mixtures[index])
                gates = mixture.gates(summary.mean(1), task, noise)
                added = mixture(whole.flatten(1, 2), gates, noise)
                x = tail.add_mlp(block, y) + added.reshape(y.shape)
        return tail.pool(x).unflatten(0, (batch, frames))

    def route_of(self, task: int) -> int:
        """The task itself: each has its own routers."""
        return task

    def text_features(self, token_ids: Tensor, task: int | None) -> TextFeatures:
        """Captions [B, L] by the routers of ``task``."""
        tower, noise = self.towers.text, self.noise()
        x, layout, mask = tower.embed(token_ids), tower.layout, tower.mask(token_ids)
        rows = torch.arange(len(x), device=x.device)
        routed_by = rows * 0 if layout.first else layout.pooled(token_ids)
        with autocast(tower.compute, x):
            for index, module in enumerate(tower.blocks):
                block = cast(ResidualAttentionBlock, module)
                q, k, v = query_key_value(block, block.ln_1(x), x.shape[1])
                causal = layout.is_causal and mask is None
                attention = attend(q, k, v, block.attn.num_heads, mask, causal)
                y = x + block.ls_1(block.attn.out_proj(attention))
                mixture = cast(AdapterMixture, self.text_mixtures[index])
                gates = mixture.gates(y[rows, routed_by], task or max(1, self.task), noise)
                x = y + block.ls_2(block.mlp(block.ln_2(y))) + mixture(y, gates, noise)
        return tower.features(tower.project(x), token_ids)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load a ``state``, with as many routers as it has."""
        self._resize(sum(name.startswith("text_mixtures.0.routers.") for name in state))
        super().load_state(state)

    def _resize(self, tasks: int) -> None:
        for mixture in self.mixtures:
            mixture.resize(tasks)


def _stacked(rate: Literal["vision", "text"], mixtures: nn.ModuleList) -> list[ParameterGroup]:
    """A tower's adapters, one group for each kind of parameter: all of one shape."""
    kinds = ("down", "down_bias", "up", "up_bias")
    stacks = [[getattr(mixture, kind) for mixture in mixtures] for kind in kinds]
    return [ParameterGroup(rate, stack, rowwise=True) for stack in stacks]

"""CLIP-ViP: proxy tokens that see all frames of a video (baseline of CTVR)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from ...backbones.attention import attend, query_key_value
from ...backbones.backbone import Backbone
from ...backbones.families.plain_vit import ViTTail
from ...core.errors import StructAlignError
from ...core.ranges import option
from ..method_config import MethodConfig
from ..model.towers import autocast
from ..optimizer import ParameterGroup
from ..seeds import generator
from ..stream import Task
from .clip4clip import CLIP4Clip, CLIP4ClipOptions


@dataclass(frozen=True)
class CLIPViPOptions(CLIP4ClipOptions):
    """``proxies``: learnt tokens of a whole video, in addition to its class token."""

    proxies: int = option(4, at_least=0)


class CLIPViP(CLIP4Clip):
    """NCE of e^tau <t, v>, v = W_v LN(class token) of a video seen as one sequence (CTVR's code).

    A patch attends to the M = 1 + m global tokens and to its own frame, a global token to all. A
    cache cut at 0 holds tokens after CLIP's first layer norm: so proxies and the temporal embedding
    (0 at the start: blind to the frames' order) are added after it here, before it in CTVR's code.
    """

    Options = CLIPViPOptions
    options: CLIPViPOptions
    share = 1.0

    def __init__(self, backbone: Backbone, config: MethodConfig, seed: int) -> None:
        super().__init__(backbone, config, seed)
        if backbone.cut_name != 0:
            raise StructAlignError(
                f"clip_vip's proxies meet every block, and this cache is cut at "
                f"{backbone.cut_name}; "
                "extract with --cut 0"
            )
        tail = self.student.video
        if not (isinstance(tail, ViTTail) and tail.queries):
            raise StructAlignError(
                "clip_vip's proxies attend beside the class token that a plain ViT pools, and "
                f"'{backbone.name}' is another tower; extract with one such as ViT-B-32-quickgelu"
            )
        width = backbone.token_shape[1]
        drawn = torch.randn(self.options.proxies, width, generator=generator(seed, "proxies"))
        self.proxies = nn.Parameter(F.layer_norm(drawn, (width,)))
        self.temporal = nn.Parameter(torch.zeros(0, width))  # a row for each frame

    def begin_task(self, task: Task) -> None:
        """Size the temporal embedding by the first task's clips."""
        super().begin_task(task)
        if not len(self.temporal):
            self._grow(task.tokens.shape[2])

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load a ``state``, with as many frames as it has."""
        self._grow(len(state["temporal"]))
        super().load_state(state)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Both towers, proxies and the temporal embedding."""
        added = ParameterGroup("vision", [self.proxies, self.temporal])
        return [*super().parameter_groups(), added]

    def frames(self, tokens: Tensor) -> Tensor:
        """The one embedding [B, 1, D] of each video."""
        x = tokens.to(self.proxies.dtype)
        patches = x[:, :, 1:] + self._temporal_of(x.shape[1])[:, None]
        proxies = self.proxies.expand(len(x), -1, -1)
        return self.encode_sequence(torch.cat([x[:, 0, :1], proxies], 1), patches)[:, None]

    def _temporal_of(self, frames: int) -> Tensor:
        """The temporal embedding [N, C]; for another number of frames interpolated (CTVR)."""
        if len(self.temporal) in (0, frames):
            return self.temporal if len(self.temporal) else self.temporal.new_zeros(frames, 1)
        return F.interpolate(self.temporal.T[None], frames, mode="linear")[0].T

    def _grow(self, frames: int) -> None:
        zeros = self.temporal.new_zeros(frames, self.temporal.shape[1])
        self.temporal = nn.Parameter(zeros.detach())

    def encode_sequence(self, globals_: Tensor, patches: Tensor) -> Tensor:
        """Global tokens [B, M, C] and patches [B, N, P, C] through all blocks: [B, D]."""
        tower, (batch, frames) = self.student.video, patches.shape[:2]
        many = globals_.shape[1]
        x = torch.cat([globals_, patches.flatten(1, 2)], 1)
        with autocast(self.student.compute, x):
            for block in cast(Iterable[ResidualAttentionBlock], tower.blocks):
                q, k, v = query_key_value(block, tower.attention_input(block, x), x.shape[1])
                whole = attend(q[:, :many], k, v, tower.heads)
                own_q, own_k, own_v = (
                    part[:, many:].unflatten(1, (frames, -1)) for part in (q, k, v)
                )
                seen_k, seen_v = (
                    torch.cat([part[:, None, :many].expand(-1, frames, -1, -1), own], 2)
                    for part, own in ((k, own_k), (v, own_v))
                )
                within = attend(
                    own_q.flatten(0, 1), seen_k.flatten(0, 1), seen_v.flatten(0, 1), tower.heads
                ).unflatten(0, (batch, frames))
                attention = block.attn.out_proj(torch.cat([whole, within.flatten(1, 2)], 1))
                x = tower.add_mlp(block, tower.add_attention(block, x, attention))
        return tower.pool(x)

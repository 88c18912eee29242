"""Both towers after the cut: vision blocks on cached tokens, and the text transformer.

Frozen unless ``trainable``; methods pass their adapters in. open_clip's own weights are never
edited. Shape letters: B batch, N frames, P tokens of a frame, C vision width, L token ids, H text
width, D joint width.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from ...backbones.attention import attend, query_key_value
from ...backbones.backbone import Backbone
from ...backbones.family import Tail
from ...backbones.text import TextLayout
from .adapters import OUT, Draws, FrameFusion, Route, TextExperts
from .compiled import compiled

Compute = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TextFeatures:
    """Captions in the joint space, not normalised: words [B, L, D] padded, lengths, text [B, D]."""

    words: Tensor
    lengths: Tensor
    text: Tensor


class TextTower(nn.Module):
    """A backbone's text transformer, with LoRA experts in every block where they are given."""

    def __init__(self, backbone: Backbone, compute: Compute, trainable: bool) -> None:
        super().__init__()
        text = backbone.text
        self.layout = backbone.layout
        self.compute, self.width = compute, int(text.transformer.width)
        self.blocks = prepare_blocks(text.transformer.resblocks, compute, trainable)
        self.learning_block = text_block
        self.token_embedding, self.ln_final = text.token_embedding, text.ln_final
        self.positional_embedding, self.projection = text.positional_embedding, text.text_projection
        self.class_embedding = getattr(text, "cls_emb", None)
        self.pad_id = backbone.config["text_cfg"].get("pad_id", 0)
        if trainable:
            self.class_embedding = copy.deepcopy(self.class_embedding)
            self.token_embedding = copy.deepcopy(self.token_embedding)
            self.ln_final = copy.deepcopy(self.ln_final)
            self.positional_embedding = copy.deepcopy(self.positional_embedding)
            self.projection = copy.deepcopy(self.projection)

    def forward(
        self,
        token_ids: Tensor,
        experts: nn.ModuleList | None = None,
        route: Route | None = None,
        visible: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Every position in the joint space [B, L, D], and each caption's pooled position [B].

        ``token_ids``, int64 [B, L], are laid out as ``layout`` says; what it does not need may lack
        at their end. ``visible``, bool [B, L]: the positions that may be attended to; needed only
        where positions after the end are read.
        """
        pooled = self.layout.pooled(token_ids)
        x, is_causal = self.embed(token_ids), self.layout.is_causal
        mask = self.mask(token_ids, visible)
        apply = self.learning_block if torch.is_grad_enabled() else text_block
        with autocast(self.compute, x):
            for index, block in enumerate(self.blocks):
                adapter = cast(TextExperts, experts[index]) if experts is not None else None
                noise = (
                    adapter.draw(x, route) if adapter is not None and route is not None else None
                )
                x = apply(block, adapter, x, mask, is_causal, pooled, route, noise)
        return self.project(x), pooled

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token and position embeddings [B, L, H] of token ids [B, L], with a class token added."""
        x = self.token_embedding(token_ids)
        if self.class_embedding is not None:
            x = torch.cat([x, self.class_embedding.expand(len(x), 1, -1)], 1)
        return x + self.positional_embedding[: x.shape[1]]

    def mask(self, token_ids: Tensor, visible: Tensor | None = None) -> Tensor | None:
        """Which positions each one attends to, bool [B, 1, L or 1, L]; None for the plain mask."""
        if visible is None and self.class_embedding is not None:
            # Moved by one, as CoCa was trained.
            visible = F.pad(token_ids != self.pad_id, (1, 0), value=True)
        if visible is None:
            return None
        if not self.layout.is_causal:
            return visible[:, None, None]
        length = visible.shape[1]
        lower = torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
        return (lower & visible[:, None, :])[:, None]

    def project(self, x: Tensor) -> Tensor:
        """The last block's states [B, L, H] in the joint space [B, L, D]."""
        x, projection = self.ln_final(x), self.projection
        if isinstance(projection, nn.Parameter):
            return x @ projection
        return x if projection is None else projection(x)

    def features(self, x: Tensor, token_ids: Tensor) -> TextFeatures:
        """A caption's words and its embedding among the projected positions [B, L, D]."""
        pooled = x[torch.arange(len(x), device=x.device), self.layout.pooled(token_ids)]
        return TextFeatures(self.layout.words(x), self.layout.lengths(token_ids), pooled)


class Towers(nn.Module):
    """Both towers of a backbone after its cut, and CLIP's temperature.

    ``trainable`` copies the towers; all their parameters are trained, the temperature is not.
    """

    def __init__(
        self, backbone: Backbone, compute: Compute = "float32", trainable: bool = False
    ) -> None:
        super().__init__()
        self.compute, self.cut = compute, backbone.cut
        self.video = backbone.tail(backbone.cut)
        if trainable:
            self.video = copy.deepcopy(self.video)
        else:
            self.video.blocks = prepare_blocks(self.video.blocks, compute, trainable)
        self.learning_block = vision_block
        self.text = TextTower(backbone, compute, trainable)
        self.dim = int(backbone.config["embed_dim"])
        self.logit_scale = backbone.model.logit_scale
        if trainable:
            self.video.requires_grad_(True)
            self.text.requires_grad_(True)

    def compile_blocks(self) -> None:
        """Compile the blocks for learning; without gradients they stay eager."""
        self.learning_block = compiled(vision_block)
        self.text.learning_block = compiled(text_block)

    @property
    def scale(self) -> Tensor:
        """CLIP's learnt temperature exp(logit_scale), a scalar."""
        return self.logit_scale.exp()

    def frames(self, tokens: Tensor, adapters: nn.ModuleDict | None = None) -> Tensor:
        """Cached tokens [B, N, P, C] to frame embeddings [B, N, D], not normalised.

        ``adapters``: frame fusion by absolute block index.
        """
        batch, frames = tokens.shape[:2]
        x = tokens.to(self.logit_scale.dtype).flatten(0, 1)
        apply = self.learning_block if torch.is_grad_enabled() else vision_block
        with autocast(self.compute, x):
            for offset, block in enumerate(self.video.blocks):
                name = str(self.cut + offset)
                adapter = adapters[name] if adapters is not None and name in adapters else None
                queries = self.video.needed(offset, x)
                x = apply(self.video, block, cast(FrameFusion | None, adapter), x, frames, queries)
        return self.video.pool(x).unflatten(0, (batch, frames))

    def text_features(
        self, token_ids: Tensor, experts: nn.ModuleList | None = None, route: Route | None = None
    ) -> TextFeatures:
        """Captions int64 [B, L] in the joint space; needless columns may be trimmed."""
        x, _ = self.text(token_ids, experts, route)
        return self.text.features(x, token_ids)


def autocast(compute: Compute, like: Tensor) -> torch.autocast:
    """Matrix products of a tower's blocks in ``compute``, on the device of ``like``.

    With bfloat16 the residual stream, layer norms, routing and projections into the joint space
    stay float32, and so does all that follows: similarities, losses, updates.
    """
    return torch.autocast(like.device.type, torch.bfloat16, enabled=compute == "bfloat16")


def prepare_blocks(blocks: nn.ModuleList, compute: Compute, trainable: bool) -> nn.ModuleList:
    """A tower's blocks for computing; the backbone's own are not changed.

    Frozen: the same function but for rounding, faster. QuickGELU x sigmoid(1.702 x) is
    silu(1.702 x) / 1.702, so its factors go into the weights around it; with bfloat16 the weights
    are rounded once. Trainable: plain copies, as updates are not invariant to either.
    """
    if trainable:
        return copy.deepcopy(blocks)
    quick = any(isinstance(module, QuickGELU) for module in blocks.modules())
    if compute == "float32" and not quick:
        return blocks
    copied = copy.deepcopy(blocks)
    for block in copied:
        mlp = cast(Any, block).mlp
        if isinstance(getattr(mlp, "gelu", None), QuickGELU):
            mlp.gelu = nn.SiLU()
            for parameter in (mlp.c_fc.weight, mlp.c_fc.bias):
                parameter.data.mul_(1.702)
            mlp.c_proj.weight.data.mul_(1 / 1.702)
    for module in copied.modules():
        if compute == "bfloat16" and isinstance(module, nn.Linear | nn.MultiheadAttention):
            module.to(torch.bfloat16)
    return copied


def vision_block(
    tail: Tail, block: nn.Module, adapter: FrameFusion | None, x: Tensor, frames: int, queries: int
) -> Tensor:
    """One block on [B*N, P, C], for the first ``queries`` tokens of each frame."""
    y = tail.attention_input(block, x)
    attention = tail.attention(block, y, queries)
    if adapter is not None:
        cross = adapter(y, frames, queries)
        attention = (1 - adapter.alpha) * attention + adapter.alpha * cross
    return tail.add_mlp(block, tail.add_attention(block, x[:, :queries], attention))


def text_block(
    block: ResidualAttentionBlock,
    experts: TextExperts | None,
    x: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    pooled: Tensor,
    route: Route | None,
    noise: tuple[Draws, Draws] | None,
) -> Tensor:
    """One pre-LN block on [B, L, H]; experts add to its four projections."""
    u = block.ln_1(x)
    q, k, v = query_key_value(block, u, u.shape[1])
    if experts is not None and route is not None and noise is not None:
        added = experts(u, slice(0, OUT), pooled, route, noise[0])
        q, k, v = q + added[0], k + added[1], v + added[2]
    y = attend(q, k, v, block.attn.num_heads, mask, causal=is_causal and mask is None)
    out = block.attn.out_proj(y)
    if experts is not None and route is not None and noise is not None:
        out = out + experts(y, slice(OUT, OUT + 1), pooled, route, noise[1])[0]
    x = x + block.ls_1(out)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


@torch.no_grad()
def encode_by_length(
    encode: Callable[[Tensor], TextFeatures],
    token_ids: Tensor,
    layout: TextLayout,
    device: torch.device,
    pad_together: bool = False,
    batch: int = 256,
) -> TextFeatures:
    """Encode many captions in batches; words are padded to the longest caption.

    Captions of one length are encoded together, so that nothing is computed for padding, unless
    ``pad_together``.
    """
    token_ids = token_ids.cpu()
    columns, order = layout.columns(token_ids).sort(stable=True)
    sizes = [len(token_ids)]
    if not pad_together:
        sizes = columns.unique_consecutive(return_counts=True)[1].tolist()
    parts = [
        encode(layout.trim(part).to(device))
        for group in token_ids[order].split(sizes)
        for part in group.split(batch)
    ]
    longest = max(part.words.shape[1] for part in parts)
    words = torch.cat([F.pad(p.words, (0, 0, 0, longest - p.words.shape[1])) for p in parts])
    back = order.argsort().to(words.device)
    lengths, text = torch.cat([p.lengths for p in parts]), torch.cat([p.text for p in parts])
    return TextFeatures(words[back], lengths[back], text[back])

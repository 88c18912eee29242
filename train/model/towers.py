"""CLIP's towers after the cut: vision blocks on cached tokens, and the text transformer.

Frozen unless ``trainable``; methods pass their adapters in. open_clip's own weights are never
edited. Shape letters: B batch, N frames, P tokens of a frame, C vision width, L token ids, H text
width, D joint width.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from ...backbones.backbone import Backbone
from .adapters import OUT, Draws, FrameFusion, Route, TextExperts, attend
from .compiled import compiled

Compute = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TextFeatures:
    """Captions in the joint space, not normalised: words [B, L, D] padded, lengths, text [B, D]."""

    words: Tensor
    lengths: Tensor
    text: Tensor


class VideoTower(nn.Module):
    """Vision blocks cut .. L-1 on tokens, down to frame embeddings."""

    def __init__(self, backbone: Backbone, compute: Compute, trainable: bool) -> None:
        super().__init__()
        tail = backbone.tail(backbone.cut)
        self.cut, self.compute = backbone.cut, compute
        self.blocks = prepare_blocks(tail.blocks, compute, trainable)
        self.learning_block = vision_block
        self.ln_post, self.projection = tail.norm, tail.projection
        if trainable:
            self.ln_post = copy.deepcopy(self.ln_post)
            self.projection = nn.Parameter(self.projection.detach().clone())

    def forward(self, tokens: Tensor, adapters: nn.ModuleDict | None = None) -> Tensor:
        """Cached tokens [B, N, P, C] to frame embeddings [B, N, D], not normalised.

        ``adapters``: frame fusion by absolute block index.
        """
        batch, frames = tokens.shape[:2]
        x = tokens.to(self.projection.dtype).flatten(0, 1)
        last = len(self.blocks) - 1
        apply = self.learning_block if torch.is_grad_enabled() else vision_block
        with autocast(self.compute, x):
            for offset, block in enumerate(self.blocks):
                name = str(self.cut + offset)
                adapter = adapters[name] if adapters is not None and name in adapters else None
                queries = 1 if offset == last else x.shape[1]
                x = apply(block, cast(FrameFusion | None, adapter), x, frames, queries)
        return (self.ln_post(x[:, 0]) @ self.projection).unflatten(0, (batch, frames))


class TextTower(nn.Module):
    """CLIP's text transformer, with LoRA experts in every block where they are given."""

    def __init__(self, backbone: Backbone, compute: Compute, trainable: bool) -> None:
        super().__init__()
        clip = backbone.model
        self.compute, self.width = compute, int(clip.transformer.width)
        self.blocks = prepare_blocks(clip.transformer.resblocks, compute, trainable)
        self.learning_block = text_block
        self.token_embedding, self.ln_final = clip.token_embedding, clip.ln_final
        self.positional_embedding, self.projection = clip.positional_embedding, clip.text_projection
        if trainable:
            self.token_embedding = copy.deepcopy(self.token_embedding)
            self.ln_final = copy.deepcopy(self.ln_final)
            self.positional_embedding = nn.Parameter(self.positional_embedding.detach().clone())
            self.projection = nn.Parameter(self.projection.detach().clone())

    def forward(
        self,
        token_ids: Tensor,
        experts: nn.ModuleList | None = None,
        route: Route | None = None,
        visible: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Every position in the joint space [B, L, D], and each caption's end position [B].

        ``token_ids``, int64 [B, L]: start, words, end (the highest id of the row), anything after.
        ``visible``, bool [B, L]: the positions that may be attended to; needed only where positions
        after the end are read.
        """
        end = token_ids.argmax(-1)
        x = self.token_embedding(token_ids) + self.positional_embedding[: token_ids.shape[1]]
        mask = None if visible is None else _causal(visible)
        apply = self.learning_block if torch.is_grad_enabled() else text_block
        with autocast(self.compute, x):
            for index, block in enumerate(self.blocks):
                adapter = cast(TextExperts, experts[index]) if experts is not None else None
                noise = (
                    adapter.draw(x, route) if adapter is not None and route is not None else None
                )
                x = apply(block, adapter, x, mask, end, route, noise)
        return self.ln_final(x) @ self.projection, end


class Towers(nn.Module):
    """Both towers of a backbone after its cut, and CLIP's temperature.

    ``trainable`` copies the towers; all their parameters are trained, the temperature is not.
    """

    def __init__(
        self, backbone: Backbone, compute: Compute = "float32", trainable: bool = False
    ) -> None:
        super().__init__()
        self.video = VideoTower(backbone, compute, trainable)
        self.text = TextTower(backbone, compute, trainable)
        self.dim = int(backbone.config["embed_dim"])
        self.logit_scale = backbone.model.logit_scale
        if trainable:
            self.video.requires_grad_(True)
            self.text.requires_grad_(True)

    def compile_blocks(self) -> None:
        """Compile the blocks for learning; without gradients they stay eager."""
        self.video.learning_block = compiled(vision_block)
        self.text.learning_block = compiled(text_block)

    @property
    def scale(self) -> Tensor:
        """CLIP's learnt temperature exp(logit_scale), a scalar."""
        return self.logit_scale.exp()

    def text_features(
        self, token_ids: Tensor, experts: nn.ModuleList | None = None, route: Route | None = None
    ) -> TextFeatures:
        """Captions int64 [B, L] in the joint space; words lie between start and end.

        ``cut_to_longest`` removes columns that no caption needs.
        """
        x, end = self.text(token_ids, experts, route)
        words = x[:, 1 : max(2, token_ids.shape[1] - 1)]
        return TextFeatures(words, end - 1, x[torch.arange(len(x), device=x.device), end])


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
        mlp = cast(ResidualAttentionBlock, block).mlp
        if isinstance(mlp.gelu, QuickGELU):
            mlp.gelu = nn.SiLU()
            for parameter in (mlp.c_fc.weight, mlp.c_fc.bias):
                parameter.data.mul_(1.702)
            mlp.c_proj.weight.data.mul_(1 / 1.702)
    for module in copied.modules():
        if compute == "bfloat16" and isinstance(module, nn.Linear | nn.MultiheadAttention):
            module.to(torch.bfloat16)
    return copied


def query_key_value(
    block: ResidualAttentionBlock, normed: Tensor, queries: int
) -> tuple[Tensor, Tensor, Tensor]:
    """A block's projections of [B, L, C]: keys and values of all, queries of the first ones."""
    weight, bias, width = block.attn.in_proj_weight, block.attn.in_proj_bias, normed.shape[-1]
    if queries == normed.shape[1]:
        q, k, v = F.linear(normed, weight, bias).chunk(3, dim=-1)
    else:
        q = F.linear(normed[:, :queries], weight[:width], bias[:width])
        k, v = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
    return q, k, v


def vision_block(
    block: ResidualAttentionBlock, adapter: FrameFusion | None, x: Tensor, frames: int, queries: int
) -> Tensor:
    """One pre-LN block on [B*N, P, C], for the first ``queries`` tokens of each frame.

    The last block needs the class token alone.
    """
    normed = block.ln_1(x)
    q, k, v = query_key_value(block, normed, queries)
    attention = block.attn.out_proj(attend(q, k, v, block.attn.num_heads))
    if adapter is not None:
        cross = adapter(normed, frames, queries)
        attention = (1 - adapter.alpha) * attention + adapter.alpha * cross
    x = x[:, :queries] + block.ls_1(attention)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def text_block(
    block: ResidualAttentionBlock,
    experts: TextExperts | None,
    x: Tensor,
    mask: Tensor | None,
    end: Tensor,
    route: Route | None,
    noise: tuple[Draws, Draws] | None,
) -> Tensor:
    """One pre-LN block on [B, L, H]; experts add to its four projections."""
    u = block.ln_1(x)
    q, k, v = query_key_value(block, u, u.shape[1])
    if experts is not None and route is not None and noise is not None:
        added = experts(u, slice(0, OUT), end, route, noise[0])
        q, k, v = q + added[0], k + added[1], v + added[2]
    y = attend(q, k, v, block.attn.num_heads, mask, causal=mask is None)
    out = block.attn.out_proj(y)
    if experts is not None and route is not None and noise is not None:
        out = out + experts(y, slice(OUT, OUT + 1), end, route, noise[1])[0]
    x = x + block.ls_1(out)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


@torch.no_grad()
def encode_by_length(
    encode: Callable[[Tensor], TextFeatures],
    token_ids: Tensor,
    device: torch.device,
    pad_together: bool = False,
    batch: int = 256,
) -> TextFeatures:
    """Encode many captions in batches; words are padded to the longest caption.

    Captions of one length are encoded together, so that nothing is computed for padding, unless
    ``pad_together``.
    """
    token_ids = token_ids.cpu()
    ends, order = token_ids.argmax(-1).sort(stable=True)
    sizes = [len(token_ids)]
    if not pad_together:
        sizes = ends.unique_consecutive(return_counts=True)[1].tolist()
    parts = [
        encode(cut_to_longest(part).to(device))
        for group in token_ids[order].split(sizes)
        for part in group.split(batch)
    ]
    longest = max(part.words.shape[1] for part in parts)
    words = torch.cat([F.pad(p.words, (0, 0, 0, longest - p.words.shape[1])) for p in parts])
    back = order.argsort().to(words.device)
    lengths, text = torch.cat([p.lengths for p in parts]), torch.cat([p.text for p in parts])
    return TextFeatures(words[back], lengths[back], text[back])


def cut_to_longest(token_ids: Tensor) -> Tensor:
    """Captions int64 [B, L] on the CPU, without the columns after the longest one's end."""
    return token_ids[:, : int(token_ids.argmax(-1).max()) + 1]


def _causal(visible: Tensor) -> Tensor:
    length = visible.shape[1]
    lower = torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
    return (lower & visible[:, None, :])[:, None]

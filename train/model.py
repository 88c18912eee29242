"""The model that learns: the frozen towers after the cut, with adapters. open_clip's weights are never edited."""

import copy
from dataclasses import dataclass
from typing import Literal, cast

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from cache.backbone import Backbone
from cache.errors import StructAlignError
from train.adapters import FrameFusion, Noise, TextExperts, attend
from train.settings import Settings


@dataclass(frozen=True)
class TextFeatures:
    """Captions in the joint space, not normalised: words [B, L, D] padded, lengths [B], the end-of-text embedding [B, D]."""

    words: Tensor
    lengths: Tensor
    text: Tensor


class VideoTail(nn.Module):
    """Vision blocks cut .. L-1 with frame fusion adapters in the last ``adapted`` of them, down to frame embeddings."""

    def __init__(self, backbone: Backbone, settings: Settings, generator: Generator) -> None:
        super().__init__()
        visual = backbone.model.visual
        self.cut, self.compute = backbone.cut, settings.compute
        self.blocks = frozen_blocks(visual.transformer.resblocks[self.cut :], settings.compute)
        self.ln_post, self.projection = visual.ln_post, visual.proj
        self.adapters = nn.ModuleDict()
        adapted = backbone.blocks - self.cut if settings.adapted_blocks is None else settings.adapted_blocks
        if not 0 < adapted <= backbone.blocks - self.cut:
            raise StructAlignError(
                f"adapted_blocks {adapted} needs a cache cut at {max(0, backbone.blocks - adapted)} or before; this one is cut at {self.cut}"
            )
        if settings.frame_fusion:
            width, heads = int(visual.transformer.width), int(visual.transformer.resblocks[-1].attn.num_heads)
            for index in range(backbone.blocks - adapted, backbone.blocks):
                self.adapters[str(index)] = FrameFusion(width, heads, index, generator)

    def forward(self, tokens: Tensor, adapted: bool = True) -> Tensor:
        """Tokens [B, N, P, C] to frame embeddings [B, N, D], not normalised. ``adapted=False`` is the pre-trained tower."""
        batch, frames = tokens.shape[:2]
        x = tokens.to(self.projection.dtype).flatten(0, 1)
        with matrix_products(self.compute, x):
            for offset, block in enumerate(self.blocks):
                adapter = self._adapter(self.cut + offset) if adapted else None
                x = vision_block(block, adapter, x, frames, queries=1 if offset == len(self.blocks) - 1 else x.shape[1])
        return (self.ln_post(x[:, 0]) @ self.projection).unflatten(0, (batch, frames))

    def _adapter(self, block: int) -> FrameFusion | None:
        return cast(FrameFusion, self.adapters[str(block)]) if str(block) in self.adapters else None


def matrix_products(compute: Literal["float32", "bfloat16"], like: Tensor) -> torch.autocast:
    """Within it the products of a tower's blocks are taken in ``compute``, on the device of ``like``.

    With bfloat16 the residual stream, layer norms, routing and the projections into the joint space stay in the parameters' own float32, and so
    does all that follows: similarities, losses, updates.
    """
    return torch.autocast(like.device.type, torch.bfloat16, enabled=compute == "bfloat16")


def frozen_blocks(blocks: nn.ModuleList, compute: Literal["float32", "bfloat16"]) -> nn.ModuleList:
    """A tower's blocks for computing: the same function, but for rounding, in fewer and larger strides.

    QuickGELU x sigmoid(1.702 x) is silu(1.702 x) / 1.702: the factors go into the frozen weights around it. With bfloat16 the weights of matrix
    products are rounded once, and not in every step. The backbone's own blocks stay as they are.
    """
    if compute == "float32" and not any(isinstance(module, QuickGELU) for module in blocks.modules()):
        return blocks
    copied = copy.deepcopy(blocks)
    for block in copied:
        mlp = cast(ResidualAttentionBlock, block).mlp
        if isinstance(mlp.gelu, QuickGELU):
            mlp.gelu = nn.SiLU()
            for parameter, factor in ((mlp.c_fc.weight, 1.702), (mlp.c_fc.bias, 1.702), (mlp.c_proj.weight, 1 / 1.702)):
                parameter.data.mul_(factor)
    for module in copied.modules():
        if compute == "bfloat16" and isinstance(module, nn.Linear | nn.MultiheadAttention):
            module.to(torch.bfloat16)
    return copied


def vision_block(block: ResidualAttentionBlock, adapter: FrameFusion | None, x: Tensor, frames: int, queries: int) -> Tensor:
    """One pre-LN block on [B*N, P, C], for the first ``queries`` tokens of each frame: the last block needs the class token alone."""
    normed = block.ln_1(x)
    width = x.shape[-1]
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    if queries == x.shape[1]:
        q, k, v = F.linear(normed, weight, bias).chunk(3, dim=-1)
    else:
        q = F.linear(normed[:, :queries], weight[:width], bias[:width])
        k, v = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
    attention = block.attn.out_proj(attend(q, k, v, block.attn.num_heads))
    if adapter is not None:
        attention = (1 - adapter.alpha) * attention + adapter.alpha * adapter(normed, frames, queries)
    x = x[:, :queries] + block.ls_1(attention)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


class TextTower(nn.Module):
    """CLIP's text transformer with LoRA experts in every block and one prototype per task."""

    def __init__(self, backbone: Backbone, settings: Settings, tasks: int, generator: Generator) -> None:
        super().__init__()
        clip = backbone.model
        self.token_embedding, self.positional_embedding = clip.token_embedding, clip.positional_embedding
        self.blocks = frozen_blocks(clip.transformer.resblocks, settings.compute)
        self.ln_final, self.projection = clip.ln_final, clip.text_projection
        width = int(clip.transformer.width)
        self.padding_counts, self.compute = settings.words == "released", settings.compute
        self.experts = nn.ModuleList(
            TextExperts(width, settings.experts, settings.rank, settings.lora_alpha / settings.rank, settings.top_k, settings.dropout, generator)
            for _ in self.blocks
        )
        draws = torch.randn(tasks, width, generator=generator) * width**-0.5
        self.prototypes = nn.ParameterList(nn.Parameter(row.clone()) for row in draws)

    def forward(self, ids: Tensor, task: int | None, noise: Noise | None = None, adapted: bool = True, visible: Tensor | None = None) -> TextFeatures:
        """Captions through the path of ``task`` (1-based): task 1 by expert 0, later ones routed; None routes without prototype.

        Args:
            ids: int64 [B, L]: start, words, end (the highest id of the row), anything after.
            task: whose prototype routes.
            noise: given while training: noisy routing and dropout.
            adapted: False for the pre-trained tower.
            visible: bool [B, L], which positions may be attended to; only of interest where positions after the end are read.
        """
        end = ids.argmax(-1)
        if visible is None:
            ids = ids[:, : int(end.max()) + 1]
            if self.padding_counts:
                visible = torch.arange(ids.shape[1], device=ids.device) <= end[:, None]
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        prototype = self.prototypes[task - 1] if task is not None and task > 1 else None
        mask = None if visible is None else _causal(visible)
        with matrix_products(self.compute, x):
            for block, experts in zip(self.blocks, self.experts, strict=True):
                x = _text_block(block, cast(TextExperts, experts) if adapted else None, x, mask, end, prototype, task != 1, noise)
        x = self.ln_final(x) @ self.projection
        words, lengths = self._words(x, ids, end)
        return TextFeatures(words, lengths, x[torch.arange(len(x), device=x.device), end])

    def copy_first_experts(self) -> None:
        """In every block all experts become the first; done once, after task 1."""
        for experts in self.experts:
            cast(TextExperts, experts).copy_first_expert()

    def _words(self, x: Tensor, ids: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        if not self.padding_counts:
            return x[:, 1:], end - 1
        place = torch.arange(ids.shape[1], device=ids.device)
        is_word = released_words(ids)
        order = torch.where(is_word, place, ids.shape[1]).argsort(dim=1, stable=True)
        lengths = is_word.sum(1)
        packed = x.gather(1, order[..., None].expand_as(x))
        return packed[:, : max(1, int(lengths.max()))], lengths


def released_words(ids: Tensor) -> Tensor:
    """The released code's rule: neither the row's first id, nor id 0, nor the first end of text. So padding by end ids counts."""
    place = torch.arange(ids.shape[1], device=ids.device)
    return (ids != ids[:, :1]) & (ids != 0) & (place != ids.argmax(-1)[:, None])


def released_padding(ids: Tensor) -> Tensor:
    """The released code's tokenizer fills a row up with its end id, which ``released_words`` then takes for words."""
    after = torch.arange(ids.shape[1], device=ids.device) > ids.argmax(-1)[:, None]
    return torch.where(after, ids.amax(-1, keepdim=True), ids)


def _text_block(
    block: ResidualAttentionBlock, experts: TextExperts | None, x: Tensor, mask: Tensor | None, end: Tensor,
    prototype: Tensor | None, routed: bool, noise: Noise | None,
) -> Tensor:  # fmt: skip
    u = block.ln_1(x)
    q, k, v = F.linear(u, block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, dim=-1)
    if experts is not None:
        more = experts(u, slice(0, 3), end, prototype, routed, noise)
        q, k, v = q + more[0], k + more[1], v + more[2]
    y = attend(q, k, v, block.attn.num_heads, mask, causal=mask is None)
    out = block.attn.out_proj(y)
    if experts is not None:
        out = out + experts(y, slice(3, 4), end, prototype, routed, noise)[0]
    x = x + block.ls_1(out)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _causal(visible: Tensor) -> Tensor:
    length = visible.shape[1]
    lower = torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
    return (lower & visible[:, None, :])[:, None]


class Model(nn.Module):
    """Tail and text tower with their adapters, and the two projections in which the ETF loss compares.

    ``scale`` is CLIP's learnt temperature, exp(logit_scale), kept fixed.
    """

    def __init__(self, backbone: Backbone, settings: Settings, tasks: int, generator: Generator) -> None:
        super().__init__()
        self.video = VideoTail(backbone, settings, generator)
        self.text = TextTower(backbone, settings, tasks, generator)
        self.dim = int(backbone.config["embed_dim"])
        bound = self.dim**-0.5
        self.etf_text = nn.Parameter((torch.rand(self.dim, self.dim, generator=generator) * 2 - 1) * bound)
        self.etf_video = nn.Parameter((torch.rand(self.dim, self.dim, generator=generator) * 2 - 1) * bound)
        self.logit_scale = backbone.model.logit_scale
        self.pooled = settings.similarity == "global"

    @property
    def scale(self) -> Tensor:
        """exp(logit_scale), a scalar."""
        return self.logit_scale.exp()

    def uncleared(self) -> dict[str, Tensor]:
        """Gradients that stand after an optimizer's step and clearing: with ``clip_scope: all``, as released, they enter every later norm."""
        return {name: p.grad for name, p in self.named_parameters() if p.grad is not None}

    def take_uncleared(self, gradients: dict[str, Tensor]) -> None:
        """Put them back, from a checkpoint."""
        for name, p in self.named_parameters():
            p.grad = gradients[name].to(p.device) if name in gradients else None

    def learnt(self) -> dict[str, nn.Parameter]:
        """Every parameter that does not come from the backbone, by name: what a checkpoint holds."""
        frozen = ("video.blocks.", "video.ln_post.", "text.token_embedding", "text.positional", "text.blocks.", "text.ln_final.")
        exact = {"video.projection", "text.projection", "logit_scale"}
        return {name: p for name, p in self.named_parameters() if not name.startswith(frozen) and name not in exact}

    @torch.no_grad()
    def encode_video(self, tokens: Tensor, adapted: bool = True, batch: int = 128) -> Tensor:
        """Unit embeddings as the video database stores them: of every frame [V, N, D], or of the frames' mean [V, 1, D] where
        similarity is global."""
        frames = torch.cat([self.video(part.to(self.logit_scale.device), adapted) for part in tokens.split(batch)])
        return F.normalize(frames.mean(1, keepdim=True) if self.pooled else frames, dim=-1)

    @torch.no_grad()
    def encode_text(self, ids: Tensor, task: int | None, adapted: bool = True, batch: int = 256) -> TextFeatures:
        """Captions by the path of ``task``, evaluation mode; words are padded to the longest caption.

        Captions of one length are encoded together, so that none of the work is padding; where padding counts as words, all are.
        """
        ends, order = ids.argmax(-1).sort(stable=True)
        together = [len(ids)] if self.text.padding_counts else ends.unique_consecutive(return_counts=True)[1].tolist()
        alike = ids[order].to(self.logit_scale.device).split(together)
        parts = [self.text(part, task, adapted=adapted) for group in alike for part in group.split(batch)]
        longest = max(part.words.shape[1] for part in parts)
        words = torch.cat([F.pad(part.words, (0, 0, 0, longest - part.words.shape[1])) for part in parts])
        back = order.argsort().to(words.device)
        return TextFeatures(words[back], torch.cat([part.lengths for part in parts])[back], torch.cat([part.text for part in parts])[back])

"""A training step as the official code computes it, from PNG files: the honest baseline.

It reads every pair's frames as PNG files, runs the whole vision tower on every pair's clip and the
teacher's whole towers in every step, and computes similarities pair by pair (also in the model's
forward, where they are not used). The vision towers follow the transformers library of that time:
separate projections, attention by its formula; the teacher has adapters too, with gates of 0. The
text tower is ours, which favours the baseline.
"""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

from ...backbones.backbone import Backbone
from ...backbones.identity import Preprocessing
from ...train.contrastive import contrastive
from ...train.methods.adapted import PairFeatures
from ...train.methods.structalign.losses import relation_preserving
from ...train.methods.structalign.method import StructAlign
from ...train.model.adapters import FrameFusion
from ...train.model.towers import TextFeatures


def read_clip(folder: Path, frames: int, preprocessing: Preprocessing) -> Tensor:
    """Decode, crop and normalise the PNG files of a clip: pixels [N, 3, S, S]."""
    pictures = [
        torch.from_numpy(np.array(Image.open(folder / f"{n}.png"))).permute(2, 0, 1).float() / 255
        for n in range(frames)
    ]
    stack = torch.stack(pictures)
    size = [preprocessing.size, preprocessing.size]
    height, width = stack.shape[-2:]
    cropped = V.resized_crop(stack, 0, 0, height * 4 // 5, width * 4 // 5, size, antialias=True)
    return V.normalize(cropped, list(preprocessing.mean), list(preprocessing.std))


def attention(queries: Tensor, x: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
    """Multi-head attention by its formula, before the output projection: [B, P, C].

    Queries come from ``queries`` [B, P, C], keys and values from ``x`` [B, P, C].
    """
    wq, wk, wv = weight.chunk(3)
    bq, bk, bv = bias.chunk(3)
    q = F.linear(queries, wq, bq) * (x.shape[-1] // heads) ** -0.5
    q, k, v = (
        y.unflatten(-1, (heads, -1)).transpose(1, 2)
        for y in (q, F.linear(x, wk, bk), F.linear(x, wv, bv))
    )
    return ((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).flatten(2)


def frame_fusion(adapter: FrameFusion, x: Tensor, frames: int) -> Tensor:
    """Cross attention of every frame's tokens [B*N, P, C] and the neighbouring frame's."""
    x_BNPC = x.unflatten(0, (-1, frames))
    first, last = x_BNPC[:, :1], x_BNPC[:, -1:]
    guide = (
        torch.cat([first, x_BNPC[:, :-1]], 1)
        if adapter.uses_previous_frame
        else torch.cat([x_BNPC[:, 1:], last], 1)
    )
    mixed = attention(guide.flatten(0, 1), x, adapter.qkv_weight, adapter.qkv_bias, adapter.heads)
    return F.linear(mixed, adapter.out_weight, adapter.out_bias)


def whole_tower(
    method: StructAlign, backbone: Backbone, pixels: Tensor, gates_open: bool
) -> Tensor:
    """Frame embeddings [B, N, D] of pixels [B, N, 3, S, S], all tokens through all blocks.

    ``gates_open`` is False for the teacher, whose gates are 0.
    """
    visual = backbone.model.visual
    batch, frames = pixels.shape[:2]
    x = visual._embeds(pixels.flatten(0, 1))
    for index, block in enumerate(visual.transformer.resblocks):
        normed = block.ln_1(x)
        mixed = block.attn.out_proj(
            attention(
                normed,
                normed,
                block.attn.in_proj_weight,
                block.attn.in_proj_bias,
                block.attn.num_heads,
            )
        )
        if str(index) in method.frame_fusion:
            adapter = cast(FrameFusion, method.frame_fusion[str(index)])
            alpha = adapter.alpha if gates_open else torch.zeros_like(adapter.alpha)
            mixed = (1 - alpha) * mixed + alpha * frame_fusion(adapter, normed, frames)
        x = x + mixed
        x = x + block.mlp(block.ln_2(x))
    return (visual.ln_post(x)[:, 0] @ visual.proj).unflatten(0, (batch, frames))


def pair_by_pair(frames: Tensor, text: TextFeatures) -> Tensor:
    """Word-frame similarity [B, B], computed one pair after another."""
    unit_frames, unit_words = (
        torch.nn.functional.normalize(x, dim=-1, eps=1e-8) for x in (frames, text.words)
    )
    rows = []
    for video in unit_frames:
        row = []
        for words, length in zip(unit_words, text.lengths.tolist(), strict=True):
            scores = video @ words[:length].T
            row.append(0.5 * (scores.amax(0).mean() + scores.amax(1).mean()))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def official_losses(
    method: StructAlign,
    backbone: Backbone,
    folders: list[Path],
    ids: Tensor,
    labels: Tensor,
    frames: int,
    task: int,
) -> dict[str, Tensor]:
    """The terms of StructAlign's loss on pairs of a folder of PNG files and a caption."""
    options = method.options
    pixels = torch.stack([read_clip(folder, frames, backbone.preprocessing) for folder in folders])
    video = whole_tower(method, backbone, pixels, gates_open=True)
    text = method.text_features(ids, task, method.noise())
    pair_by_pair(video, text)
    with torch.no_grad():
        taught_video = whole_tower(method, backbone, pixels, gates_open=False)
        taught_text = method.read_text(ids)
        pair_by_pair(taught_video, taught_text)
    similarity = pair_by_pair(video, text)
    taught = pair_by_pair(taught_video, taught_text)
    factor = method.logit_factor(method.towers.scale, len(ids))
    terms = {"contrastive": contrastive(similarity * factor)}
    terms["crp"] = options.crp_weight * relation_preserving(similarity * factor, taught * factor)
    base = torch.stack(list(terms.values())).sum()
    pairs = PairFeatures(video, text.words, text.lengths, similarity)
    replayed = method.draw_prototypes(len(ids))
    etf = method.etf_loss(pairs, labels, replayed)
    terms["etf"] = options.etf_weight * base.detach() / etf.detach() * etf
    if replayed is not None:
        terms["replay"] = options.replay_weight * method.replay_loss(pairs, replayed)
    return terms

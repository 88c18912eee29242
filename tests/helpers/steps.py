"""A training step of StructAlign on its second task, with the demo backbone."""

from dataclasses import replace
from typing import Any

import torch
from structalign.backbones.backbone import Backbone
from structalign.train.methods.registry import load_method
from structalign.train.methods.structalign.method import StructAlign, Teacher
from structalign.train.methods.structalign.simplex import simplex_etf
from structalign.train.seeds import generator
from structalign.train.stream import Batch
from torch import Tensor

from .methods import learn_something

COLOURS, SHAPES = ("red", "green", "blue", "white"), ("star", "circle", "square", "ring")
CAPTIONS = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]
CUT, FRAMES = 2, 4


def learnt_method(backbone: Backbone, **values: Any) -> StructAlign:
    """StructAlign in the middle of learning: every adapter at work."""
    config = load_method("structalign", "demo", "demo", {"adapted_blocks": 4, **values})
    method = StructAlign(replace(backbone, cut=CUT), config, 0).eval()
    learn_something(method)
    return method


def random_tokens(backbone: Backbone) -> Tensor:
    """Tokens [16, F, L, H] of smooth noise, a clip a caption."""
    size = backbone.preprocessing.size
    pixels = torch.nn.functional.interpolate(
        torch.randn(len(CAPTIONS) * FRAMES, 3, 6, 6, generator=generator(0, "pixels")),
        size=(size, size),
    )
    return backbone.stem(CUT)(pixels).unflatten(0, (len(CAPTIONS), FRAMES)).half().clone()


def step(
    method: StructAlign, ids: Tensor, tokens: Tensor
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses and gradients of a second task."""
    dim, g = method.towers.dim, generator(0, "prototypes")
    method.task, method.directions = 2, simplex_etf(4, dim, generator(0, "etf"))
    means = torch.randn(2, 2, dim, generator=g) * dim**-0.5
    remembered, radius = method.prototypes, torch.full((2,), 0.01)
    remembered.labels, remembered.text_mean, remembered.video_mean = (
        torch.arange(2),
        means[0],
        means[1],
    )
    remembered.text_radius = remembered.video_radius = radius
    text = method.pretrained.encode_texts(ids)
    with torch.no_grad():
        frames = method.pretrained.encode_frames(tokens)[None]
        method.teacher = Teacher(frames, text.words, text.lengths, method.towers.scale)
    every = torch.arange(len(ids))
    losses = method.losses(Batch(tokens, every, ids, 2 + every % 2, every, every, 0))
    torch.stack(list(losses.values())).sum().backward()
    gradients = {n: p.grad for n, p in method.learnt().items() if p.grad is not None}
    return {name: float(loss.detach()) for name, loss in losses.items()}, gradients

"""Captions and stored clips of three tasks, without a run or a cache."""

import torch
from structalign.backbones.backbone import load_backbone
from structalign.train.gallery import Block, Gallery
from structalign.train.methods.base import Method
from structalign.train.stream import Queries
from torch import Tensor
from torch.nn import functional as F

TEXTS = [
    "a red star", "there is a small hollow green circle at the top left on striped grey ground",
    "a cross", "two blue rings",
    "look at a large yellow square that moves to the right", "a star and a ring",
]  # fmt: skip


def random_frames(count: int, dim: int, seed: int) -> Tensor:
    """Unit frame embeddings [count, 3, dim]."""
    drawn = torch.randn(count, 3, dim, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=-1)


def three_tasks(method: Method) -> tuple[Gallery, list[Queries]]:
    """A block a task with a clip for each of its captions, and the captions."""
    ids = load_backbone("demo", "demo").tokenizer()(TEXTS)
    parts = [slice(0, 2), slice(2, 3), slice(3, 6)]
    queries = [
        Queries(tuple(TEXTS[part]), ids[part], torch.arange(len(TEXTS[part]))) for part in parts
    ]
    dim = method.towers.dim
    blocks = [
        Block(n + 1, q.clips, random_frames(len(q.clips), dim, n)) for n, q in enumerate(queries)
    ]
    return Gallery(blocks), queries

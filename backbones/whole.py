"""The whole vision tower frozen: a frame's embedding in the joint space, and those of its parts.

A token is a feature in the joint space: first the frame's, then, row by row, those of the cells of
a grid over its patches. Patches have been through float16 at the cut, as in a cache that is cut
there, so that such a cache gives the same tokens.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .family import Stem, Tail


class WholeStem(Stem):
    """Frames [B, 3, S, S] to tokens [B, 1 + grid * grid, D]."""

    def __init__(self, before: Stem, after: Tail, grid: int) -> None:
        super().__init__(before.preprocessing, before.cut)
        self.before, self.after, self.grid = before, after, grid
        self.eval()

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Preprocessed frames to tokens in the joint space."""
        return embed_whole(self.after, self.before(pixels).half(), self.grid)


class WholeTail(Tail):
    """Nothing is left after such a cut: a frame's embedding is its first token."""

    prefix, queries = 1, 1

    def pool(self, x: Tensor) -> Tensor:
        """The first token."""
        return x[:, 0]


@torch.no_grad()
def embed_whole(tail: Tail, tokens: Tensor, grid: int) -> Tensor:
    """Tokens at a cut, float16 [B, P, C], to tokens in the joint space [B, 1 + grid * grid, D]."""
    x = tokens.float()
    for block in tail.blocks:
        x = tail.block(block, x)
    cells = [tail.pool_patches(cell) for cell in _cells(x[:, tail.prefix :], grid)]
    return torch.stack([tail.pool(x), *cells], 1)


def _cells(patches: Tensor, grid: int) -> Iterator[Tensor]:
    """The patches [B, n, C] of each cell of a grid over a square [B, P, C].

    Cells share patches where the grid does not divide the side, as in adaptive pooling.
    """
    side = round(patches.shape[1] ** 0.5)
    rows = patches.unflatten(1, (side, side))
    spans = [slice(i * side // grid, -(-(i + 1) * side // grid)) for i in range(grid)]
    for vertical in spans:
        for horizontal in spans:
            yield rows[:, vertical, horizontal].flatten(1, 2)

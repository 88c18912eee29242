"""The gallery: embeddings of every finished task's clips, stored when the task ended."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.tensors import StoredTensor
from .methods.base import Encoder
from .model.similarity import DIRECTIONS, fused_similarity
from .model.towers import TextFeatures

ZERO_SHOT = "pretrained"  # names the block of evaluated clips by the pre-trained towers


@dataclass(frozen=True)
class Block:
    """One task's clips and their stored embeddings, float32 [V, N, D], in memory or in a file."""

    task: int
    clips: tuple[str, ...]
    stored: Tensor | StoredTensor

    @property
    def embeddings(self) -> Tensor:
        """All embeddings; those in a file are read."""
        return self.stored if isinstance(self.stored, Tensor) else self.stored.read()

    def in_memory(self) -> "Block":
        """The block with its embeddings in memory."""
        return self if isinstance(self.stored, Tensor) else replace(self, stored=self.embeddings)

    def rows(self, rows: Tensor) -> Tensor:
        """Embeddings of the clips at ``rows`` (int64 [C], ascending), [C, N, D]."""
        if isinstance(self.stored, Tensor):
            return self.stored[rows]
        return self.stored.rows(rows.tolist())

    def chunks(self, clips: int) -> Iterator[Tensor]:
        """All embeddings in order, ``clips`` at a time."""
        if isinstance(self.stored, Tensor):
            return iter(self.stored.split(clips))
        return self.stored.chunks(clips)


class Gallery:
    """Blocks in task order. A caption meets each block by the route of its task."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self.blocks = list(blocks)

    @property
    def clips(self) -> list[str]:
        """The clips of all blocks, in the order of the score's columns."""
        return [clip for block in self.blocks for clip in block.clips]

    def compare(
        self, encoder: Encoder, token_ids: Tensor
    ) -> Iterator[tuple[TextFeatures, dict[str, Tensor]]]:
        """Captions int64 [T, L] by each block's route, and their similarities to its clips."""
        texts: dict[int, TextFeatures] = {}
        for block in self.blocks:
            route = encoder.route_of(block.task)
            if route not in texts:
                texts = {route: encoder.encode_texts(token_ids, block.task)}
            yield texts[route], compare(encoder, texts[route], block.embeddings)

    def score(self, encoder: Encoder, token_ids: Tensor) -> Tensor:
        """Fused similarity of captions [T, L] and all clips, float32 [T, V] on the CPU."""
        compared = [similarities for _, similarities in self.compare(encoder, token_ids)]
        return fuse(compared, encoder.fusion_weight)


@torch.no_grad()
def compare(encoder: Encoder, texts: TextFeatures, embeddings: Tensor) -> dict[str, Tensor]:
    """Encoded captions with stored embeddings: the similarities [T, V] that are fused, by name."""
    similarities = encoder.similarity(texts, embeddings.to(encoder.device))
    return {name: score for name, score in similarities.items() if name not in DIRECTIONS}


def fuse(blocks: Sequence[Mapping[str, Tensor]], weight: float) -> Tensor:
    """Join the blocks' columns by similarity, then fuse the similarities: [T, V] on the CPU."""
    joined = [torch.cat([block[name] for block in blocks], 1) for name in blocks[0]]
    return fused_similarity(joined, weight).cpu()

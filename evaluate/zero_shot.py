"""Zero-shot scores of a growing stream: what never changes is computed once."""

import torch
from torch import Tensor

from ..train.contrastive import pooled_unit
from ..train.gallery import Block, compare, fuse
from ..train.methods.base import Encoder
from ..train.model.towers import TextFeatures
from ..train.stream import Queries


class ZeroShotScores:
    """Similarities by the pre-trained towers of all captions and clips that have arrived.

    A new task adds its captions' rows and its clips' columns; the rest is as it was.
    """

    def __init__(self) -> None:
        self.clips: list[int] = []
        self._texts: list[TextFeatures] = []
        self._blocks: list[Block] = []
        self._rows: list[list[dict[str, Tensor]]] = []
        self._weight = 0.5

    def add(self, encoder: Encoder, queries: Queries, block: Block) -> None:
        """A task's captions, and its clips as the pre-trained towers make them."""
        self._weight = encoder.fusion_weight
        for row, earlier in zip(self._rows, self._texts, strict=True):
            row.append(_similarities(encoder, earlier, block))
        texts = encoder.encode_texts(queries.token_ids, block.task)
        self._texts.append(texts)
        self._blocks.append(block)
        self.clips.append(len(block.clips))
        self._rows.append([_similarities(encoder, texts, one) for one in self._blocks])

    def all(self) -> Tensor:
        """Fused scores [T, V] of all captions and clips."""
        return torch.cat([fuse(row, self._weight) for row in self._rows])

    def newest(self) -> Tensor:
        """The newest task's captions and its own clips [T, V], fused over all clips."""
        return fuse(self._rows[-1], self._weight)[:, -self.clips[-1] :]

    def alone(self) -> Tensor:
        """The newest task's captions and clips [T, V], as if there were no others."""
        return fuse(self._rows[-1][-1:], self._weight)

    def texts(self) -> Tensor:
        """Each caption's unit mean word [T, D]."""
        return torch.cat([pooled_unit(one.words, one.lengths).cpu() for one in self._texts])


def _similarities(encoder: Encoder, texts: TextFeatures, block: Block) -> dict[str, Tensor]:
    found = compare(encoder, texts, block.embeddings).similarities
    return {name: scores.cpu() for name, scores in found.items()}

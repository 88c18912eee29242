"""Zero-shot scores of a growing stream: each pair of a caption and a clip is compared once."""

import torch
from torch import Tensor

from ..train.contrastive import pooled_unit
from ..train.gallery import Block, compare, fuse
from ..train.methods.base import Encoder
from ..train.model.towers import TextFeatures
from ..train.stream import Queries


class ZeroShotScores:
    """Similarities of all captions and clips that have arrived, by the pre-trained towers.

    A new task adds the rows of its captions and the columns of its clips. T counts captions, V
    clips; scores are float32 on the CPU.
    """

    def __init__(self) -> None:
        self.clips: list[int] = []
        self._texts: list[TextFeatures] = []
        self._blocks: list[Block] = []
        self._rows: list[list[dict[str, Tensor]]] = []
        self._weight = 0.5

    def add(self, encoder: Encoder, queries: Queries, block: Block) -> None:
        """Add a task: its captions, and its clips encoded by the pre-trained towers."""
        self._weight = encoder.fusion_weight
        for row, earlier_texts in zip(self._rows, self._texts, strict=True):
            row.append(_similarities(encoder, earlier_texts, block))
        texts = encoder.encode_texts(queries.token_ids, block.task)
        self._texts.append(texts)
        self._blocks.append(block)
        self.clips.append(len(block.clips))
        self._rows.append([_similarities(encoder, texts, earlier) for earlier in self._blocks])

    def all(self) -> Tensor:
        """Fused scores [T, V] of all captions and clips."""
        return torch.cat([fuse(row, self._weight) for row in self._rows])

    def newest(self) -> Tensor:
        """The newest task's captions and its own clips [T, V], standardised over all clips."""
        return fuse(self._rows[-1], self._weight)[:, -self.clips[-1] :]

    def alone(self) -> Tensor:
        """The newest task's captions and its own clips [T, V], standardised over these alone."""
        return fuse(self._rows[-1][-1:], self._weight)

    def texts(self) -> Tensor:
        """Each caption's unit mean word [T, D]."""
        return torch.cat([pooled_unit(texts.words, texts.lengths).cpu() for texts in self._texts])


def _similarities(encoder: Encoder, texts: TextFeatures, block: Block) -> dict[str, Tensor]:
    similarities = compare(encoder, texts, block.embeddings)
    return {name: scores.cpu() for name, scores in similarities.items()}

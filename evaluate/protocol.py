"""The CTVR protocol: scores of the captions of some tasks against the gallery."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..train.contrastive import pooled_unit
from ..train.gallery import Block, Gallery, compare, fuse
from ..train.methods.base import Encoder
from ..train.model.towers import TextFeatures
from ..train.stream import Queries


@dataclass(frozen=True)
class StageScores:
    """Fused similarities of one stage, float32, higher is more alike.

    ``stored``: all captions and all stored clips [T, V], both in task order; ``reencoded``: by task
    whose clips were encoded again, its captions and its own clips [T_i, V_i]; ``text``: each
    caption's unit mean word by its own task's route [T, D].
    """

    stored: Tensor
    reencoded: dict[int, Tensor]
    text: Tensor


def stage_scores(
    encoder: Encoder,
    gallery: Gallery,
    queries: list[Queries],
    reencoded: Mapping[int, Block] | None = None,
) -> StageScores:
    """Fused similarity of all captions of some tasks and the clips of their blocks, one a task.

    ``reencoded``: blocks encoded again, by task: each replaces the stored block for that task's own
    captions, with all other columns as stored, as in the official code's final validation.
    """
    sizes = [len(q.token_ids) for q in queries]
    rows = [part.tolist() for part in torch.arange(sum(sizes)).split(sizes)]
    own_texts: list[TextFeatures] = []
    columns: list[Mapping[str, Tensor]] = []
    comparisons = gallery.compare(encoder, torch.cat([q.token_ids for q in queries]))
    for (texts, column), own in zip(comparisons, rows, strict=True):  # one route's in memory
        own_texts.append(TextFeatures(texts.words[own], texts.lengths[own], texts.text[own]))
        columns.append(column)
    fused_again: dict[int, Tensor] = {}
    for number, block in (reencoded or {}).items():
        own = rows[number - 1]
        replaced = [
            compare(encoder, own_texts[number - 1], block.embeddings)
            if task == number
            else {name: scores[own] for name, scores in column.items()}
            for task, column in enumerate(columns, 1)
        ]
        fused = fuse(replaced, encoder.fusion_weight)
        fused_again[number] = fused.split([len(b.clips) for b in gallery.blocks], 1)[number - 1]
    text = torch.cat([pooled_unit(texts.words, texts.lengths).cpu() for texts in own_texts])
    return StageScores(fuse(columns, encoder.fusion_weight), fused_again, text)

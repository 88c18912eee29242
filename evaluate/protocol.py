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
    """Similarities of one stage.

    ``stored`` [T, V], tasks in order on both sides. ``reencoded`` maps a task whose clips were
    encoded again to the scores of its captions within its own block [T_i, V_i]. ``text`` has each
    caption's unit mean word by its own task's path [T, D].
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
    """Fused similarity of all captions of some tasks and the clips of their blocks.

    Args:
        encoder: the method in the state of the stage.
        gallery: one block a task.
        queries: the captions of each of these tasks.
        reencoded: blocks encoded again, by task (1-based): such a block replaces the stored one
            for that task's own captions, while all other columns stay, as the released code's
            final validation does.
    """
    sizes = [len(q.token_ids) for q in queries]
    rows = [part.tolist() for part in torch.arange(sum(sizes)).split(sizes)]
    own_texts: list[TextFeatures] = []
    columns: list[Mapping[str, Tensor]] = []
    compared = gallery.compare(encoder, torch.cat([q.token_ids for q in queries]))
    for one, own in zip(compared, rows, strict=True):  # one path's captions at a time in memory
        own_texts.append(_rows_of(one.texts, own))
        columns.append(one.similarities)
    fresh: dict[int, Tensor] = {}
    for number, block in (reencoded or {}).items():
        own = rows[number - 1]
        with_fresh = [
            compare(encoder, own_texts[number - 1], block.embeddings).similarities
            if task == number
            else {name: scores[own] for name, scores in column.items()}
            for task, column in enumerate(columns, 1)
        ]
        fused = fuse(with_fresh, encoder.fusion_weight)
        fresh[number] = fused.split([len(b.clips) for b in gallery.blocks], 1)[number - 1]
    text = torch.cat([pooled_unit(one.words, one.lengths).cpu() for one in own_texts])
    return StageScores(fuse(columns, encoder.fusion_weight), fresh, text)


def _rows_of(texts: TextFeatures, rows: list[int]) -> TextFeatures:
    return TextFeatures(texts.words[rows], texts.lengths[rows], texts.text[rows])

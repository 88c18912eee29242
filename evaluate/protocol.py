"""The CTVR protocol: how the captions of some tasks are scored against a video database."""

from dataclasses import dataclass

import torch
from torch import Tensor

from train.database import Block
from train.losses import pooled_unit
from train.model import Model
from train.similarity import fused_similarity, global_similarity, word_frame_similarity
from train.stream import Queries


@dataclass(frozen=True)
class StageScores:
    """Similarities of one stage: ``stored`` [T, V], tasks in order on both sides. ``reencoded`` maps a task (1-based) whose clips were
    given again to the scores of its captions within its own block, [T_i, V_i]. ``text`` has each caption's unit mean word by its own task's
    path, [T, D]."""

    stored: Tensor
    reencoded: dict[int, Tensor]
    text: Tensor


@torch.no_grad()
def stage_scores(
    model: Model, database: list[Block], queries: list[Queries], paths: list[int] | None, again: dict[int, Block] | None = None
) -> StageScores:
    """Fused similarity of all captions of some tasks and the clips of their blocks.

    Every caption is encoded once for each block by that block's path, and compared with that block alone; the blocks' columns are joined,
    then word-frame and global scores are standardised per row over all of them and averaged. A model that pools its videos
    (FrameFusionMoE) is scored by global similarity alone.

    Args:
        model: in the state of the stage.
        database: one block of unit frame embeddings a task.
        queries: the captions of each of these tasks.
        paths: the task whose prototype encodes the captions for each block; None for the pre-trained tower.
        again: blocks encoded anew, by task (1-based): such a block takes the place of the stored one for that task's own captions,
            while all other columns stay, as the released code's final validation does.
    """
    device = model.logit_scale.device
    ids = torch.cat([q.ids for q in queries])
    rows = [part.tolist() for part in torch.arange(len(ids)).split([len(q.ids) for q in queries])]
    word_frame: list[Tensor] = []
    global_: list[Tensor] = []
    anew: dict[int, tuple[Tensor | None, Tensor]] = {}
    own_text: list[Tensor] = []
    text = model.encode_text(ids, None, adapted=False) if paths is None else None
    for number, block in enumerate(database, 1):
        encoded = text or model.encode_text(ids, paths[number - 1] if paths else None)
        own = rows[number - 1]
        own_text.append(pooled_unit(encoded.words[own], encoded.lengths[own]).cpu())
        frames = block.frames.to(device)
        global_.append(global_similarity(frames, encoded.text).T)
        if not model.pooled:
            word_frame.append(word_frame_similarity(frames, encoded.words, encoded.lengths).T)
        if again and number in again:
            fresh = again[number].frames.to(device)
            words = None if model.pooled else word_frame_similarity(fresh, encoded.words[own], encoded.lengths[own]).T
            anew[number] = words, global_similarity(fresh, encoded.text[own]).T
    reencoded = {}
    for number, (words, whole) in anew.items():
        own = rows[number - 1]
        joined = [_replaced(parts, own, number, part) for parts, part in ((word_frame, words), (global_, whole)) if part is not None]
        first = sum(len(block.clips) for block in database[: number - 1])
        reencoded[number] = _fused(joined)[:, first : first + len(database[number - 1].clips)]
    return StageScores(_fused([torch.cat(parts, 1) for parts in (word_frame, global_) if parts]), reencoded, torch.cat(own_text))


def _replaced(parts: list[Tensor], rows: list[int], number: int, part: Tensor) -> Tensor:
    return torch.cat([part if index == number else other[rows] for index, other in enumerate(parts, 1)], 1)


def _fused(similarities: list[Tensor]) -> Tensor:
    return (similarities[0] if len(similarities) == 1 else fused_similarity(*similarities)).cpu()

"""The CTVR protocol: what is measured after a stage, from the stored video database and the model of that stage."""

import time
from typing import Any

import torch
from torch import Tensor

from cache.store import FeatureCache
from evaluate.metrics import text_to_video_ranks, video_to_text_ranks
from train.database import Block
from train.model import Model, TextFeatures
from train.similarity import fused_similarity, global_similarity, word_frame_similarity
from train.stream import Queries


def stage_scores(model: Model, adapted: bool, database: list[Block], queries: list[Queries]) -> Tensor:
    """Fused similarity of all captions of some tasks and their stored clips: [T, V], tasks in order on both sides.

    Every caption is encoded once for each task's prototype p and compared with block p alone; the blocks' columns are joined,
    then word-frame and global scores are standardised per row over all of them and averaged. A model that pools its videos
    (FrameFusionMoE) is scored by global similarity alone.
    """
    device = model.logit_scale.device
    ids = torch.cat([q.ids for q in queries])
    word_frame, global_ = [], []
    text: TextFeatures | None = None
    for number, block in enumerate(database, 1):
        if text is None or adapted:
            text = model.encode_text(ids, number, adapted)
        frames = block.frames.to(device)
        global_.append(global_similarity(frames, text.text).T)
        if not model.pooled:
            word_frame.append(word_frame_similarity(frames, text.words, text.lengths).T)
    if model.pooled:
        return torch.cat(global_, 1).cpu()
    return fused_similarity(torch.cat(word_frame, 1), torch.cat(global_, 1)).cpu()


def evaluate_stage(model: Model, adapted: bool, stage: int, database: list[Block], queries: list[Queries], cache: FeatureCache) -> dict[str, Any]:
    """One row of the task matrix and the figures over all tasks of ``database``, as plain values.

    Task figures rank within the task's own clips; ``t2v`` and ``v2t`` over the clips of every task given. For stage 0 give every task.
    """
    began = time.monotonic()
    scores = stage_scores(model, adapted, database, queries)
    row: dict[str, list[float]] = {"r1": [], "r5": [], "r10": []}
    captions = clips = 0
    targets = []
    for block, query in zip(database, queries, strict=True):
        own = scores[captions : captions + len(query.ids), clips : clips + len(block.clips)]
        ranks = text_to_video_ranks(own, query.target)
        for k in (1, 5, 10):
            row[f"r{k}"].append(ranks.recall(k))
        targets.append(query.target + clips)
        captions, clips = captions + len(query.ids), clips + len(block.clips)
    target = torch.cat(targets)
    t2v, v2t = text_to_video_ranks(scores, target), video_to_text_ranks(scores, target)
    return {
        "stage": stage,
        "row": row,
        "t2v": t2v.summary(),
        "v2t": v2t.summary(),
        "ties": {"t2v": t2v.tied, "v2t": v2t.tied},
        "queries": captions,
        "clips": clips,
        "twins": _twins(scores, target, [clip for block in database for clip in block.clips], cache),
        "seconds": round(time.monotonic() - began, 3),
    }


def _twins(scores: Tensor, target: Tensor, clips: list[str], cache: FeatureCache) -> dict[str, float] | None:
    """Of the captions whose clip has a motion twin among ``clips``: percentage that score their own clip above the twin (a tie is a half)."""
    column = {clip: index for index, clip in enumerate(clips)}
    rows, own, other = [], [], []
    for row, index in enumerate(target.tolist()):
        twin = cache.catalog[clips[index]].twin
        if twin in column:
            rows.append(row)
            own.append(index)
            other.append(column[twin])
    if not rows:
        return None
    gap = scores[rows, own] - scores[rows, other]
    return {"captions": len(rows), "told_apart": float(((gap > 0).double() + 0.5 * (gap == 0).double()).mean() * 100)}

"""Measuring a run's stages, while it is trained or afterwards from its checkpoints.

A figure is named direction/gallery/scope: ``t2v`` or ``v2t``; old clips ``stored`` when their task
ended or ``reencoded`` by the stage's method; ranked within the ``task``'s own clips or among all
``seen`` so far. ``t2v/ahead/task`` is the next task before it is learnt.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..cache.runtime.progress import Note, Progress
from ..train.epoch_selection import joined_targets
from ..train.gallery import Block, Gallery
from ..train.loop import EpochDone, TaskArrived, TaskLearnt, train_stream
from ..train.losses import pooled_unit
from ..train.methods.base import Encoder, Method
from ..train.runs.run import Run
from ..train.stream import Queries
from .diagnostics import class_cosines, drift
from .metrics import Ranks, text_to_video_ranks, video_to_text_ranks
from .protocol import stage_scores
from .results import Results, save_results

Record = dict[str, Any]
HARDLY = 0.995  # of the first epoch's loss
NOTHING = 0.01  # a loss that is as good as 0: a single clip has no other to be told from


def measure_training(
    run: Run, until: int | None = None, checkpoint_every: float = 60.0
) -> Iterator[EpochDone | Record]:
    """Train a run and measure it: yields epochs, and what is known of each finished stage."""
    evaluator = StageEvaluator(run)
    if len(run.stages()) < run.finished:
        yield from missing_stages(run)
    for event in train_stream(run, until, checkpoint_every):
        if isinstance(event, TaskArrived):
            evaluator.arrive(event.task, event.method)
        elif isinstance(event, TaskLearnt):
            stage = evaluator.stage(event.task, event.method)
            run.save_stage(stage)
            yield stage
        else:
            yield event


def train_and_measure(
    run: Run, until: int | None, checkpoint_every: float, progress: Progress, note: Note
) -> Results:
    """Train a run, measure every stage, and leave ``results.json``. Tells how it goes."""
    epochs, total = run.settings.epochs, len(run.stream) * run.settings.epochs
    recall, losses = "", []
    for event in measure_training(run, until, checkpoint_every):
        if isinstance(event, EpochDone):
            losses.append(event.loss)
            progress((event.task - 1) * epochs + event.epoch, total, event.summary() + recall)
            continue
        now, before = event["t2v"]["R@1"], event["zero_shot"]["t2v"]["R@1"]
        where = f"{event['clips']} clips, zero-shot {before:.2f} ({event['seconds']:.1f} s)"
        note(f"task {event['stage']}: R@1 {now:.2f} over {where}")
        recall = f", R@1 {now:.2f} after task {event['stage']}"
        if len(losses) > 1 and losses[0] > NOTHING and losses[-1] > HARDLY * losses[0]:
            note(
                f"task {event['stage']}: the loss went from {losses[0]:.4f} to {losses[-1]:.4f}: "
                "hardly anything was learnt; try higher lr_text, lr_vision and lr_other"
            )
        losses = []
    return save_results(run)


def measure_stages(run: Run) -> Iterator[Record]:
    """Every finished stage again, from the run's checkpoints and stored gallery."""
    evaluator = StageEvaluator(run)
    method = run.new_method()
    for number in range(1, run.finished + 1):
        evaluator.arrive(number, method)
        run.load_task(number, method)
        yield evaluator.stage(number, method)


def missing_stages(run: Run) -> Iterator[Record]:
    """The stages that an interrupted training had not recorded yet."""
    recorded = run.stages()
    for stage in measure_stages(run):
        if stage["stage"] not in recorded:
            run.save_stage(stage)
            yield stage


class StageEvaluator:
    """Measures a run task by task: first what arrives, then what was learnt.

    It knows only the tasks that have arrived. Zero-shot figures are of the pre-trained towers over
    the same clips as the stage's own.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.queries: list[Queries] = []
        self.untrained = Gallery()
        self.arrival: Record = {}

    def arrive(self, number: int, method: Method) -> None:
        """Measure task ``number`` before it is learnt: zero-shot, and by the newest path."""
        for earlier in range(len(self.queries) + 1, number):
            self._meet(earlier, method)
        own, block = self._meet(number, method)
        zero_shot = stage_scores(method.pretrained, Gallery([block]), [own]).stored
        self.arrival = {
            "zero_shot": text_to_video_ranks(zero_shot, own.target).summary(),
            "ahead": None,
        }
        if number > 1:
            ahead = Gallery([self._encode(number - 1, number, method)])
            scores = stage_scores(method, ahead, [own]).stored
            self.arrival["ahead"] = text_to_video_ranks(scores, own.target).summary()

    def stage(self, number: int, method: Method) -> Record:
        """What is known of the stage after task ``number``, as plain values."""
        began = time.monotonic()
        gallery = self.run.gallery(number)
        trained = bool(method.parameter_groups())
        old = range(1, number) if trained else ()
        reencoded = {task: self._encode(task, task, method) for task in old}
        scores = stage_scores(method, gallery, self.queries, reencoded)
        own = _own_blocks(scores.stored, gallery, self.queries)
        pairs = list(zip(own, self.queries, strict=True))
        anew = [scores.reencoded.get(task, block) for task, block in enumerate(own, 1)]
        row = {
            "t2v/stored/task": [text_to_video_ranks(s, q.target).summary() for s, q in pairs],
            "v2t/stored/task": [video_to_text_ranks(s, q.target).summary() for s, q in pairs],
            "t2v/reencoded/task": [
                text_to_video_ranks(s, q.target).summary()
                for s, q in zip(anew, self.queries, strict=True)
            ],
            "t2v/stored/seen": _seen(scores.stored, self.queries),
        }
        zero_shot = stage_scores(method.pretrained, self.untrained, self.queries)
        before, last = _own_blocks(zero_shot.stored, gallery, self.queries)[-1], self.queries[-1]
        return {
            "stage": number,
            "row": row,
            "arrival": self.arrival,
            "zero_shot": {
                **self._overall(zero_shot.stored, gallery),
                "seen": _seen(zero_shot.stored, self.queries),
                "t2v/task": text_to_video_ranks(before, last.target).summary(),
                "v2t/task": video_to_text_ranks(before, last.target).summary(),
            },
            **self._overall(scores.stored, gallery),
            "geometry": {
                **self._class_geometry(scores.text, gallery),
                "drift": [drift(gallery.blocks[t - 1].embeddings, b.embeddings)
                          for t, b in reencoded.items()],
                **method.diagnostics([q.ids for q in self.queries]),
            },
            "doubts": method.doubts(),
            "seconds": round(time.monotonic() - began, 3),
        }  # fmt: skip

    def _meet(self, number: int, method: Method) -> tuple[Queries, Block]:
        """Take up a task: its captions, and its clips by the pre-trained towers."""
        queries = self.run.stream.queries(number, method.tokenize)
        block = self._encode(number, number, method.pretrained)
        self.queries.append(queries)
        self.untrained.add(block)
        return queries, block

    def _encode(self, path: int, number: int, encoder: Encoder) -> Block:
        """The evaluated clips of task ``number`` as ``encoder`` makes them, for one path."""
        stream = self.run.stream
        clips = stream.eval_clips(number)
        embeddings = encoder.encode_videos(stream.tokens(number, clips)).cpu()
        return Block(path, tuple(clip.id for clip in clips), embeddings)

    def _overall(self, scores: Tensor, gallery: Gallery) -> Record:
        """Figures over all tasks seen."""
        target = joined_targets(self.queries)
        t2v, v2t = text_to_video_ranks(scores, target), video_to_text_ranks(scores, target)
        return {
            "t2v": t2v.summary(),
            "v2t": v2t.summary(),
            "ties": {"t2v": t2v.tied, "v2t": v2t.tied},
            "queries": len(target),
            "clips": scores.shape[1],
            "twins": _motion_pairs(scores, target, self._clips(gallery)),
        }

    def _class_geometry(self, text: Tensor, gallery: Gallery) -> Record:
        number = self.run.stream.class_number
        labels = torch.tensor([number[clip.category] for _, clip in self._clips(gallery)])
        video = torch.cat([pooled_unit(block.embeddings.cpu()) for block in gallery.blocks])
        return {
            "text": class_cosines(text, labels[joined_targets(self.queries)]),
            "video": class_cosines(video, labels),
        }

    def _clips(self, gallery: Gallery) -> list[tuple[FeatureCache, Clip]]:
        """The gallery's clips, and the cache of each: ids may repeat between caches."""
        caches = self.run.stream.caches
        found = [(caches[block.task - 1], clip) for block in gallery.blocks for clip in block.clips]
        return [(cache, cache.catalog[clip]) for cache, clip in found]


def _own_blocks(scores: Tensor, gallery: Gallery, queries: list[Queries]) -> list[Tensor]:
    """Each task's captions against its own clips: the diagonal blocks of [T, V]."""
    columns = scores.split([len(block.clips) for block in gallery.blocks], dim=1)
    rows = [len(q.ids) for q in queries]
    return [column.split(rows)[index] for index, column in enumerate(columns)]


def _seen(scores: Tensor, queries: list[Queries]) -> list[dict[str, float]]:
    """Each task's captions among all clips seen."""
    sizes = [len(q.ids) for q in queries]
    pairs = zip(scores.split(sizes), joined_targets(queries).split(sizes), strict=True)
    ranks: list[Ranks] = [text_to_video_ranks(rows, target) for rows, target in pairs]
    return [one.summary() for one in ranks]


def _motion_pairs(
    scores: Tensor, target: Tensor, clips: list[tuple[FeatureCache, Clip]]
) -> dict[str, float] | None:
    """Of captions whose clip has a motion twin among ``clips``: how many prefer their own clip.

    In percent; a tie is a half.
    """
    column = {(cache.fingerprint, clip.id): index for index, (cache, clip) in enumerate(clips)}
    own = [clips[index] for index in target.tolist()]
    twins = [(cache.fingerprint, clip.twin or "") for cache, clip in own]
    rows = [row for row, twin in enumerate(twins) if twin in column]
    if not rows:
        return None
    other = [column[twins[row]] for row in rows]
    gap = scores[rows, target[rows]] - scores[rows, other]
    told_apart = ((gap > 0).double() + 0.5 * (gap == 0).double()).mean() * 100
    return {"captions": len(rows), "told_apart": float(told_apart)}

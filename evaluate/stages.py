"""Measuring a run's stages, while it is trained or afterwards from what it left.

A figure is named direction/gallery/scope: ``t2v`` or ``v2t``; old clips ``stored`` when their task ended or ``reencoded`` by the stage's model;
ranked within the ``task``'s own clips or among all ``seen`` so far. ``t2v/ahead/task`` is the next task before it is learnt.
"""

import time
from typing import Any

import torch
from torch import Tensor

from cache.store import FeatureCache
from evaluate.geometry import class_cosines, drift, expert_use, gates
from evaluate.metrics import text_to_video_ranks, video_to_text_ranks
from evaluate.protocol import stage_scores
from train.database import Block
from train.experiment import Experiment
from train.losses import pooled_unit
from train.runs import Run
from train.stream import Queries, Side


class StageEvaluator:
    """Measures stage t of an experiment whose model is in the state of that stage; stage 0 is the pre-trained model on every task."""

    def __init__(self, experiment: Experiment, run: Run) -> None:
        self.experiment, self.run = experiment, run
        self.side: Side = experiment.settings.measured_on
        self._queries: dict[tuple[int, Side], Queries] = {}

    def __call__(self, stage: int) -> dict[str, Any]:
        """What is known of a stage: its row of the task matrix by figure, and the figures over all tasks seen, as plain values."""
        began = time.monotonic()
        e = self.experiment
        adapted = stage > 0 and e.method.trains
        numbers = range(1, (stage or e.stream.tasks) + 1)
        queries = [self._of_task(number, self.side) for number in numbers]
        database = self.run.database(stage, self.side) if stage else [self._encode(q, adapted=False) for q in queries]
        again = {number: self._encode(queries[number - 1], adapted) for number in numbers if adapted and number < stage}
        scores = stage_scores(e.model, database, queries, list(numbers) if adapted else None, again)
        stored = _blocks(scores.stored, database, queries)
        row = {
            "t2v/stored/task": [text_to_video_ranks(own, q.target).summary() for own, q in zip(stored, queries, strict=True)],
            "v2t/stored/task": [video_to_text_ranks(own, q.target).summary() for own, q in zip(stored, queries, strict=True)],
            "t2v/reencoded/task": [
                text_to_video_ranks(scores.reencoded.get(number, own), q.target).summary()
                for number, own, q in zip(numbers, stored, queries, strict=True)
            ],
            "t2v/stored/seen": _seen(scores.stored, database, queries),
            "t2v/ahead/task": self._ahead(stage, adapted),
        }
        target = _targets(database, queries)
        t2v, v2t = text_to_video_ranks(scores.stored, target), video_to_text_ranks(scores.stored, target)
        return {
            "stage": stage,
            "row": row,
            "t2v": t2v.summary(),
            "v2t": v2t.summary(),
            "ties": {"t2v": t2v.tied, "v2t": v2t.tied},
            "queries": len(target),
            "clips": scores.stored.shape[1],
            "twins": _twins(scores.stored, target, [clip for block in database for clip in block.clips], e.cache),
            "geometry": self._geometry(scores.text, database, queries, again, adapted),
            "seconds": round(time.monotonic() - began, 3),
        }

    def _geometry(self, text: Tensor, database: list[Block], queries: list[Queries], again: dict[int, Block], adapted: bool) -> dict[str, Any]:
        """How the classes lie, and what the method has done to get there."""
        e = self.experiment
        index = e.stream.class_index()
        clips = torch.tensor([index[e.cache.catalog[clip].category] for block in database for clip in block.clips])
        video = torch.cat([pooled_unit(block.frames.cpu()) for block in database])
        return {
            "text": class_cosines(text, clips[_targets(database, queries)]),
            "video": class_cosines(video, clips),
            "drift": [drift(database[number - 1], block) for number, block in again.items()],
            "experts": [expert_use(e.model, q, number) for number, q in enumerate(queries, 1)] if adapted else [],
            "gates": gates(e.model) if adapted else {},
        }

    def score(self, task: int) -> float:
        """R@1 over all seen captions while ``task`` is learnt, its own clips as the model now sees them: what epochs are chosen by.

        On the test side under ``selection: reference``, on held-out training clips under ``heldout``.
        """
        e = self.experiment
        side: Side = e.settings.chosen_on or self.side
        queries = [self._of_task(number, side) for number in range(1, task + 1)]
        database = [*self.run.database(task - 1, side), self._encode(queries[-1], adapted=True)]
        scores = stage_scores(e.model, database, queries, list(range(1, task + 1)))
        return text_to_video_ranks(scores.stored, _targets(database, queries)).recall(1)

    def _ahead(self, stage: int, adapted: bool) -> list[dict[str, float]]:
        """The next task before it is learnt, by the newest path, among its own clips; at stage 0 every task. None where all is learnt at once."""
        e = self.experiment
        if e.method.joint and stage:
            return []
        numbers = range(stage + 1, stage + 2) if stage else range(1, e.stream.tasks + 1)
        found = []
        for number in numbers if stage < e.stream.tasks else ():
            queries = self._of_task(number, self.side)
            scores = stage_scores(e.model, [self._encode(queries, adapted)], [queries], [stage] if adapted else None)
            found.append(text_to_video_ranks(scores.stored, queries.target).summary())
        return found

    def _encode(self, queries: Queries, adapted: bool) -> Block:
        e = self.experiment
        return Block(queries.clips, e.model.encode_video(e.stream.query_tokens(queries), adapted))

    def _of_task(self, number: int, side: Side) -> Queries:
        if (number, side) not in self._queries:
            self._queries[number, side] = self.experiment.stream.queries(number, self.experiment.tokenize, side)
        return self._queries[number, side]


def evaluate_run(experiment: Experiment, run: Run) -> list[dict[str, Any]]:
    """Every stage again, from the run's checkpoints and stored database."""
    evaluator = StageEvaluator(experiment, run)
    stages = [evaluator(0)]
    for number in range(1, run.finished + 1):
        run.load(number, experiment.model, experiment.method)
        stages.append(evaluator(number))
    return stages


def _blocks(scores: Tensor, database: list[Block], queries: list[Queries]) -> list[Tensor]:
    """Each task's captions against its own clips: the diagonal blocks of [T, V]."""
    columns = scores.split([len(block.clips) for block in database], dim=1)
    return [column.split([len(q.ids) for q in queries])[index] for index, column in enumerate(columns)]


def _targets(database: list[Block], queries: list[Queries]) -> Tensor:
    """The right column of every caption, int64 [T]."""
    first, targets = 0, []
    for block, query in zip(database, queries, strict=True):
        targets.append(query.target + first)
        first += len(block.clips)
    return torch.cat(targets)


def _seen(scores: Tensor, database: list[Block], queries: list[Queries]) -> list[dict[str, float]]:
    sizes = [len(q.ids) for q in queries]
    pairs = zip(scores.split(sizes), _targets(database, queries).split(sizes), strict=True)
    return [text_to_video_ranks(rows, target).summary() for rows, target in pairs]


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

"""Measuring a run's stages, while it is trained or afterwards from its checkpoints.

A figure is named direction/gallery/scope: ``t2v`` or ``v2t``; old clips ``stored`` when their task
ended or ``reencoded`` by the stage's method; ranked within the ``task``'s own clips or among all
``seen`` so far. ``t2v/ahead/task`` is the next task before it is learnt.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..core.errors import StructAlignError
from ..train.epoch_selection import joined_targets
from ..train.gallery import Block, Gallery
from ..train.loop import encode_clips
from ..train.losses import pooled_unit
from ..train.methods.base import Method
from ..train.runs.run import Run
from ..train.stream import Queries
from .diagnostics import class_cosines, drift
from .metrics import Ranks, text_to_video_ranks, video_to_text_ranks
from .protocol import StageScores, stage_scores
from .query_results import QueryResult, first_clips
from .zero_shot import ZeroShotScores

Record = dict[str, Any]


def measure_stages(run: Run) -> Iterator[Record]:
    """Every finished stage again, from the run's checkpoints and stored gallery."""
    evaluator, recorded = StageEvaluator(run), run.stages()
    method = run.new_method()
    for number in range(1, run.finished + 1):
        evaluator.arrive(number, method)
        run.load_task(number, method)
        was_whole = recorded.get(number, {}).get("t2v") is not None
        is_whole = was_whole or is_whole_stage(run, number, run.finished)
        yield evaluator.stage(number, method, is_whole)


def is_whole_stage(run: Run, task: int, last: int) -> bool:
    """Whether all tasks are measured after ``task``: every ``eval_every``, and at the end."""
    return task % run.settings.eval_every == 0 or task == last


def missing_stages(run: Run, last: int) -> Iterator[Record]:
    """The stages that an interrupted training had not recorded, if its results need them.

    ``last``: the task to end with, which is measured whole.
    """
    recorded = run.stages()
    known = [n for n, stage in recorded.items() if stage["t2v"] is not None or n < last]
    if len(known) >= run.finished:
        return
    for stage in measure_stages(run):
        if stage["stage"] not in known:
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
        self.zero_shot = ZeroShotScores()
        self.arrival: Record = {}

    def arrive(self, number: int, method: Method, zero_shot: Block | None = None) -> None:
        """Measure task ``number`` before it is learnt: zero-shot, and by the newest path.

        ``zero_shot``: its clips by the pre-trained towers, where they are at hand.
        """
        for earlier in range(len(self.queries) + 1, number):
            self._meet(earlier, method, None)
        own = self._meet(number, method, zero_shot)
        before = text_to_video_ranks(self.zero_shot.alone(), own.target).summary()
        self.arrival = {"zero_shot": before, "ahead": before if number > 1 else None}
        if number > 1 and not method.is_pretrained:
            ahead = Gallery([encode_clips(self.run.stream, number, number - 1, method)])
            scores = stage_scores(method, ahead, [own]).stored
            self.arrival["ahead"] = text_to_video_ranks(scores, own.target).summary()

    def stage(self, number: int, method: Method, is_whole: bool = True) -> Record:
        """What is known of the stage after task ``number``, as plain values.

        Args:
            number: the task.
            method: in the state after it.
            is_whole: measure all tasks; else the new task alone, in the gallery of all.
        """
        began = time.monotonic()
        gallery = self.run.gallery(number)
        measured = self._whole(number, method, gallery) if is_whole else self._own(method, gallery)
        seconds = round(time.monotonic() - began, 3)
        warnings = [*method.warnings(), *measured.pop("warnings", ())]
        common = {"stage": number, "arrival": self.arrival, "warnings": warnings}
        return {**common, **measured, "seconds": seconds}

    def _whole(self, number: int, method: Method, gallery: Gallery) -> Record:
        """Every task seen so far."""
        old = range(1, number) if method.parameter_groups() else ()
        reencoded = self._reencode(old, method)
        zero_shot = self.zero_shot.all()
        scores = (
            StageScores(zero_shot, {}, self.zero_shot.texts())
            if method.is_pretrained
            else stage_scores(method, gallery, self.queries, reencoded)
        )
        own = _own_blocks(scores.stored, gallery, self.queries)
        pairs = list(zip(own, self.queries, strict=True))
        within = [text_to_video_ranks(s, q.target) for s, q in pairs]
        stored = [ranks.summary() for ranks in within]
        seen = _seen(scores.stored, self.queries)
        anew = [
            text_to_video_ranks(scores.reencoded[task], q.target).summary()
            if task in reencoded
            else None if task in old else then
            for task, (q, then) in enumerate(zip(self.queries, stored, strict=True), 1)
        ]  # fmt: skip
        before, last = self.zero_shot.newest(), self.queries[-1]
        gone = [task for task in old if task not in reencoded]
        drifted = {task: (gallery.blocks[task - 1], block) for task, block in reencoded.items()}
        return {
            "warnings": [
                f"tasks {', '.join(map(str, gone))} were not encoded again: the tokens of their "
                "caches are not there, so BWF re-encoded is not measured"
            ]
            * bool(gone),
            "row": {
                "t2v/stored/task": stored,
                "v2t/stored/task": [video_to_text_ranks(s, q.target).summary() for s, q in pairs],
                "t2v/reencoded/task": anew,
                "t2v/stored/seen": [ranks.summary() for ranks in seen],
            },
            "answers": self._answers(within, seen, first_clips(scores.stored, gallery.clips)),
            "zero_shot": {
                **self._overall(zero_shot, gallery),
                "seen": [ranks.summary() for ranks in _seen(zero_shot, self.queries)],
                "t2v/task": text_to_video_ranks(before, last.target).summary(),
                "v2t/task": video_to_text_ranks(before, last.target).summary(),
            },
            **self._overall(scores.stored, gallery),
            "geometry": {
                **self._class_geometry(scores.text, gallery),
                "drift": [
                    drift(*(block.embeddings for block in drifted[task]))
                    if task in drifted
                    else None
                    for task in old
                ],
                **method.diagnostics([q.ids for q in self.queries]),
            },
        }

    def _own(self, method: Method, gallery: Gallery) -> Record:
        """The newest task's own captions alone: what later forgetting is counted from."""
        queries, clips = self.queries[-1], len(gallery.blocks[-1].clips)

        def told(scores: Tensor) -> tuple[Ranks, dict[str, float]]:
            t2v = text_to_video_ranks(scores, queries.target)
            return t2v, video_to_text_ranks(scores, queries.target).summary()

        zero_shot = self.zero_shot.newest()
        before, v2t_before = told(zero_shot)
        ranks, v2t = (
            (before, v2t_before)
            if method.is_pretrained
            else told(gallery.score(method, queries.ids)[:, -clips:])
        )
        t2v = ranks.summary()
        unmeasured = [None] * (len(self.queries) - 1)
        return {
            "row": {
                "t2v/stored/task": [*unmeasured, t2v],
                "v2t/stored/task": [*unmeasured, v2t],
                "t2v/reencoded/task": [*unmeasured, t2v],
                "t2v/stored/seen": [*unmeasured, None],
            },
            "answers": self._answers([ranks]),
            "zero_shot": {"t2v": None, "t2v/task": before.summary(), "v2t/task": v2t_before},
            **dict.fromkeys(("t2v", "v2t", "ties", "twins", "geometry")),
            "queries": sum(len(q.ids) for q in self.queries),
            "clips": sum(len(block.clips) for block in gallery.blocks),
        }

    def _reencode(self, tasks: Iterable[int], method: Method) -> dict[int, Block]:
        """Old tasks' clips as the method makes them now, of the caches whose tokens are there."""
        stream, found = self.run.stream, {}
        for task in tasks:
            try:
                found[task] = encode_clips(stream, task, task, method)
            except StructAlignError:
                is_needed = self.run.settings.gallery == "reencoded"
                if is_needed or stream.caches[task - 1].has_tokens:
                    raise
        return found

    def _meet(self, number: int, method: Method, zero_shot: Block | None) -> Queries:
        """Take up a task: its captions, and its clips by the pre-trained towers."""
        queries = self.run.stream.queries(number, method.tokenize)
        block = zero_shot or self.run.zero_shot_block(number)
        if block is None:  # a run of an older version did not keep them
            block = encode_clips(self.run.stream, number, number, method.pretrained)
        self.queries.append(queries)
        self.zero_shot.add(method.pretrained, queries, block)
        return queries

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

    def _answers(
        self,
        within: Sequence[Ranks],
        seen: Sequence[Ranks] = (),
        found: Sequence[tuple[str, ...]] = (),
    ) -> list[Record]:
        """What the captions of the newest tasks found: their ranks, and what came first."""
        lines: list[Record] = []
        last = len(self.queries)
        for task, ranks in zip(range(last - len(within) + 1, last + 1), within, strict=True):
            clips = self.run.stream.eval_clips(task)
            asked = [(clip, text) for clip in clips for text in clip.captions]
            every = seen[task - 1].values.tolist() if seen else [None] * len(asked)
            for (clip, text), rank, rank_seen in zip(
                asked, ranks.values.tolist(), every, strict=True
            ):
                first = found[len(lines)] if found else ()
                answer = QueryResult(task, clip.id, clip.category, text, rank, rank_seen, first)
                lines.append(answer.to_json())
        return lines

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


def _seen(scores: Tensor, queries: list[Queries]) -> list[Ranks]:
    """Each task's captions among all clips seen."""
    sizes = [len(q.ids) for q in queries]
    pairs = zip(scores.split(sizes), joined_targets(queries).split(sizes), strict=True)
    return [text_to_video_ranks(rows, target) for rows, target in pairs]


def _motion_pairs(
    scores: Tensor, target: Tensor, clips: list[tuple[FeatureCache, Clip]]
) -> dict[str, float] | None:
    """Of captions whose clip has a motion twin among ``clips``: how many prefer their own clip.

    In percent; a tie is a half.
    """
    column = {(cache.fingerprint, clip.id): index for index, (cache, clip) in enumerate(clips)}
    own = [clips[index] for index in target.tolist()]
    twins = [(cache.fingerprint, clip.extra.get("twin", "")) for cache, clip in own]
    rows = [row for row, twin in enumerate(twins) if twin in column]
    if not rows:
        return None
    other = [column[twins[row]] for row in rows]
    gap = scores[rows, target[rows]] - scores[rows, other]
    told_apart = ((gap > 0).double() + 0.5 * (gap == 0).double()).mean() * 100
    return {"captions": len(rows), "told_apart": float(told_apart)}

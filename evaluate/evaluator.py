"""The evaluator: measures the stages of a stream from the data that it is handed.

A figure is named direction/gallery/scope: ``t2v`` or ``v2t``; old clips ``stored`` when their task
ended or ``reencoded`` by the stage's method; ranked within the ``task``'s own clips or among all
``seen`` so far. ``t2v/ahead/task`` is the next task before it is learnt.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ..cache.catalog import Clip
from ..core.errors import StructAlignError
from ..train.contrastive import pooled_unit
from ..train.epoch_selection import joined_targets
from ..train.gallery import Block, Gallery
from ..train.loop import encode_clips
from ..train.methods.base import Method
from ..train.stream import Queries, TaskStream
from .geometry import class_cosines, drift
from .metrics import SCORE_METRICS
from .protocol import StageScores, stage_scores
from .query_results import QueryResult, first_clips
from .ranks import Ranks, text_to_video_ranks, video_to_text_ranks
from .zero_shot import ZeroShotScores

Record = dict[str, Any]


class Evaluator:
    """Measures a stream task by task: first what arrives, then what was learnt.

    It knows only the tasks that have arrived. Zero-shot figures are of the pre-trained towers over
    the same clips as the stage's own.
    """

    def __init__(self, stream: TaskStream) -> None:
        self.stream = stream
        self.queries: list[Queries] = []
        self.zero_shot = ZeroShotScores()
        self.arrival: Record = {}

    def add(self, method: Method, zero_shot: Block) -> Queries:
        """Take in the next task; ``zero_shot``: its clips encoded by the pre-trained towers."""
        queries = self.stream.queries(len(self.queries) + 1, method.tokenize)
        self.queries.append(queries)
        self.zero_shot.add(method.pretrained, queries, zero_shot)
        return queries

    def arrive(self, method: Method, zero_shot: Block) -> None:
        """Take in the next task and measure it by the state before it: zero-shot, and ahead."""
        queries = self.add(method, zero_shot)
        number = len(self.queries)
        before = text_to_video_ranks(self.zero_shot.alone(), queries.target).summary()
        self.arrival = {"zero_shot": before, "ahead": before if number > 1 else None}
        if number > 1 and not method.is_pretrained:
            ahead = Gallery([encode_clips(self.stream, number, number - 1, method)])
            scores = stage_scores(method, ahead, [queries]).stored
            self.arrival["ahead"] = text_to_video_ranks(scores, queries.target).summary()

    def stage(self, method: Method, gallery: Gallery, is_whole: bool = True) -> Record:
        """Measure the stage after the task that arrived last; the record has plain values.

        All tasks are measured if ``is_whole``, else the new task alone, in the gallery of all.
        """
        began = time.monotonic()
        measure = self._all_tasks if is_whole else self._newest_task
        measured = measure(method, gallery)
        seconds = round(time.monotonic() - began, 3)
        warnings = [*method.warnings(), *measured.pop("warnings", ())]
        common = {"stage": len(self.queries), "arrival": self.arrival, "warnings": warnings}
        return {**common, **measured, "seconds": seconds}

    def _all_tasks(self, method: Method, gallery: Gallery) -> Record:
        old = range(1, len(self.queries)) if method.parameter_groups() else ()
        reencoded = self._reencode(old, method)
        zero_shot = self.zero_shot.all()
        scores = (
            StageScores(zero_shot, {}, self.zero_shot.texts())
            if method.is_pretrained
            else stage_scores(method, gallery, self.queries, reencoded)
        )
        own_blocks = _own_blocks(scores.stored, gallery, self.queries)
        pairs = list(zip(own_blocks, self.queries, strict=True))
        within = [text_to_video_ranks(s, q.target) for s, q in pairs]
        stored = [ranks.summary() for ranks in within]
        seen = _seen(scores.stored, self.queries)
        again = {
            task: text_to_video_ranks(s, self.queries[task - 1].target).summary()
            for task, s in scores.reencoded.items()
        }
        missing = [task for task in old if task not in again]
        warning = (
            f"tasks {', '.join(map(str, missing))} were not encoded again: the tokens of their "
            "caches are not there, so BWF re-encoded is not measured"
        )
        return {
            "warnings": [warning] if missing else [],
            "row": {
                "t2v/stored/task": stored,
                "v2t/stored/task": [video_to_text_ranks(s, q.target).summary() for s, q in pairs],
                "t2v/reencoded/task": [
                    again.get(task) if task in old else as_stored
                    for task, as_stored in enumerate(stored, 1)
                ],
                "t2v/stored/seen": [ranks.summary() for ranks in seen],
            },
            "answers": self._query_results(within, seen, first_clips(scores.stored, gallery.clips)),
            "zero_shot": {
                **self._overall(zero_shot, gallery),
                "seen": [ranks.summary() for ranks in _seen(zero_shot, self.queries)],
                **_within_task(self.zero_shot.newest(), self.queries[-1]),
            },
            **self._overall(scores.stored, gallery),
            "geometry": {
                **self._class_geometry(scores.text, gallery),
                "drift": [
                    drift(gallery.blocks[task - 1].embeddings, block.embeddings) if block else None
                    for task, block in ((task, reencoded.get(task)) for task in old)
                ],
                **method.diagnostics([q.token_ids for q in self.queries]),
            },
        }

    def _newest_task(self, method: Method, gallery: Gallery) -> Record:
        """The newest task's captions alone: what later forgetting is counted from."""
        queries, clips = self.queries[-1], len(gallery.blocks[-1].clips)
        zero_shot = self.zero_shot.newest()
        scores = zero_shot
        if not method.is_pretrained:
            scores = gallery.score(method, queries.token_ids)[:, -clips:]
        within = _within_task(scores, queries)
        unmeasured = [None] * (len(self.queries) - 1)
        return {
            "row": {
                "t2v/stored/task": [*unmeasured, within["t2v/task"]],
                "v2t/stored/task": [*unmeasured, within["v2t/task"]],
                "t2v/reencoded/task": [*unmeasured, within["t2v/task"]],
                "t2v/stored/seen": [*unmeasured, None],
            },
            "answers": self._query_results([text_to_video_ranks(scores, queries.target)]),
            "zero_shot": {"t2v": None, **_within_task(zero_shot, queries)},
            **dict.fromkeys(("t2v", "v2t", "ties", "geometry")),
            **dict.fromkeys(metric.name for metric in SCORE_METRICS),
            "queries": sum(len(q.token_ids) for q in self.queries),
            "clips": len(gallery.clips),
        }

    def _reencode(self, tasks: Iterable[int], method: Method) -> dict[int, Block]:
        """Old tasks' clips encoded by the method as it is now, where their tokens are there."""
        blocks = {}
        for task in tasks:
            try:
                blocks[task] = encode_clips(self.stream, task, task, method)
            except StructAlignError:
                is_needed = self.stream.settings.gallery == "reencoded"
                if is_needed or self.stream.caches[task - 1].has_tokens:
                    raise
        return blocks

    def _overall(self, scores: Tensor, gallery: Gallery) -> Record:
        """Figures over all tasks seen."""
        target, clips = joined_targets(self.queries), self._clips(gallery)
        t2v, v2t = text_to_video_ranks(scores, target), video_to_text_ranks(scores, target)
        return {
            "t2v": t2v.summary(),
            "v2t": v2t.summary(),
            "ties": {"t2v": t2v.tied, "v2t": v2t.tied},
            "queries": len(target),
            "clips": scores.shape[1],
            **{metric.name: metric.function(scores, target, clips) for metric in SCORE_METRICS},
        }

    def _query_results(
        self, within: Sequence[Ranks], seen: Sequence[Ranks] = (),
        first: Sequence[tuple[str, ...]] = (),
    ) -> list[Record]:  # fmt: skip
        """The newest tasks' captions: ranks ``within`` their task and among all ``seen`` clips.

        ``first``: the clips that came first, for each caption of all tasks.
        """
        lines: list[Record] = []
        last = len(self.queries)
        for task, ranks in zip(range(last - len(within) + 1, last + 1), within, strict=True):
            captions = [(c, text) for c in self.stream.eval_clips(task) for text in c.captions]
            ranks_seen = seen[task - 1].values.tolist() if seen else [None] * len(captions)
            for (clip, text), rank, rank_seen in zip(
                captions, ranks.values.tolist(), ranks_seen, strict=True
            ):
                clips = first[len(lines)] if first else ()
                result = QueryResult(task, clip.id, clip.category, text, rank, rank_seen, clips)
                lines.append(asdict(result))
        return lines

    def _class_geometry(self, text: Tensor, gallery: Gallery) -> Record:
        number = self.stream.class_number
        labels = torch.tensor([number[clip.category] for _, clip in self._clips(gallery)])
        video = torch.cat([pooled_unit(block.embeddings.cpu()) for block in gallery.blocks])
        return {
            "text": class_cosines(text, labels[joined_targets(self.queries)]),
            "video": class_cosines(video, labels),
        }

    def _clips(self, gallery: Gallery) -> list[tuple[str, Clip]]:
        """The cache (fingerprint) and the clip of each column: ids may repeat between caches."""
        caches = [self.stream.caches[block.task - 1] for block in gallery.blocks]
        return [
            (cache.fingerprint, cache.catalog[clip])
            for cache, block in zip(caches, gallery.blocks, strict=True)
            for clip in block.clips
        ]


def _within_task(scores: Tensor, queries: Queries) -> Record:
    """Both directions of a task's captions [T] and its own clips [V]."""
    return {
        "t2v/task": text_to_video_ranks(scores, queries.target).summary(),
        "v2t/task": video_to_text_ranks(scores, queries.target).summary(),
    }


def _own_blocks(scores: Tensor, gallery: Gallery, queries: list[Queries]) -> list[Tensor]:
    """Each task's captions against its own clips: the diagonal blocks of [T, V]."""
    columns = scores.split([len(block.clips) for block in gallery.blocks], dim=1)
    rows = [len(q.token_ids) for q in queries]
    return [column.split(rows)[index] for index, column in enumerate(columns)]


def _seen(scores: Tensor, queries: list[Queries]) -> list[Ranks]:
    """Each task's captions among all clips seen."""
    sizes = [len(q.token_ids) for q in queries]
    pairs = zip(scores.split(sizes), joined_targets(queries).split(sizes), strict=True)
    return [text_to_video_ranks(rows, target) for rows, target in pairs]

"""The clips that a search goes over: blocks of the gallery, each with its cache and its task."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..core.console import log_to_stderr
from ..core.errors import StructAlignError
from ..train.gallery import Block
from ..train.runs.run import Run
from ..train.seeds import generator


@dataclass(frozen=True)
class ClipFilter:
    """The clips to search: of one task, category or cache (a fingerprint); None for any."""

    task: int | None = None
    category: str | None = None
    cache: str | None = None


@dataclass(frozen=True)
class Part:
    """A block of clips, the cache that holds them, and the task that learnt them (None: added)."""

    block: Block
    cache: FeatureCache
    task: int | None

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.block.clips)

    def clip(self, row: int) -> tuple[Clip, FeatureCache, int | None]:
        """A clip, its cache and its task."""
        return self.cache.catalog[self.block.clips[row]], self.cache, self.task

    def content(self, row: int) -> Hashable:
        """What a clip shows, as its cache says."""
        return self.cache.content(self.cache.catalog[self.block.clips[row]])

    def select(self, rows: Tensor) -> "Part":
        """The part with some of its clips, rows in ascending order; itself when all are named."""
        if len(rows) == len(self):
            return self
        clips = tuple(self.block.clips[row] for row in rows.tolist())
        return Part(Block(self.block.task, clips, self.block.rows(rows)), self.cache, self.task)

    def embedding(self, row: int) -> Tensor:
        """One clip's embeddings [N, D]."""
        return self.block.rows(torch.tensor([row]))[0]

    def in_memory(self) -> "Part":
        """The part with its embeddings in memory."""
        return Part(self.block.in_memory(), self.cache, self.task)

    def matches(self, where: ClipFilter) -> Tensor:
        """Whether each clip passes the filter, bool [V]."""
        if where.task not in (None, self.task) or where.cache not in (None, self.cache.fingerprint):
            return torch.zeros(len(self), dtype=torch.bool)
        if where.category is None:
            return torch.ones(len(self), dtype=torch.bool)
        catalog = self.cache.catalog
        return torch.tensor([catalog[clip].category == where.category for clip in self.block.clips])


def finished_parts(run: Run, split: str | None = None) -> list[Part]:
    """The clips of a split, by default those that evaluation measures, a part per finished task."""
    blocks = run.gallery(run.finished, split, in_memory=False).blocks
    return [Part(block, run.stream.caches[block.task - 1], block.task) for block in blocks]


def training_parts(run: Run, evaluated: list[Part]) -> list[Part]:
    """The training clips of every finished task, but for those that are evaluated too."""
    parts = []
    taken = {part.task: set(part.block.clips) for part in evaluated}
    for part in finished_parts(run, "train"):
        others = taken.get(part.task, set())
        rows = [row for row, clip in enumerate(part.block.clips) if clip not in others]
        whole = part if len(rows) == len(part) else part.in_memory()  # which checks the file
        parts.append(whole.select(torch.tensor(rows).long()))
    return parts


def added_part(run: Run, cache: FeatureCache, parts: Sequence[Part] = ()) -> Part | None:
    """The usable clips of another cache, encoded by the path of the run's newest task.

    A clip of ``parts`` itself is left out; None if all are. How many others show what one of
    ``parts`` shows is said.

    Raises StructAlignError: made with other weights or another cut, or without a usable clip.
    """
    run.cache.check_same_tokens(cache)
    usable = cache.available(list(cache.catalog))
    if not usable:
        raise StructAlignError(f"cache {cache.fingerprint[:12]} has no usable clip to search")
    others = [part for part in parts if part.cache.fingerprint != cache.fingerprint]
    if shown := cache.shown_in((part.cache, part.block.clips) for part in others):
        log_to_stderr(
            f"{len(shown)} of {len(usable)} clips of cache {cache.fingerprint[:12]} are shown "
            "once, with the run's: it has the same videos and times"
        )
    own = [part for part in parts if part.cache.fingerprint == cache.fingerprint]
    searched = {clip for part in own for clip in part.block.clips}
    clips = tuple(clip.id for clip in usable if clip.id not in searched)
    if not clips:
        return None
    embeddings = run.method.encode_videos(torch.from_numpy(cache.tokens(clips))).cpu()
    return Part(Block(run.finished, clips, embeddings), cache, None)


def sample_parts(parts: list[Part], count: int) -> list[Part]:
    """At most ``count`` clips drawn from all parts alike; parts without a drawn clip are left out.

    Deterministic for parts of the same sizes.
    """
    draw = torch.randperm(sum(map(len, parts)), generator=generator(0, "statistics"))[:count]
    drawn, sampled, begin = draw.sort().values, [], 0
    for part in parts:
        rows = drawn[(drawn >= begin) & (drawn < begin + len(part))] - begin
        begin += len(part)
        if len(rows):
            sampled.append(part.select(rows))
    return sampled

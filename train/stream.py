"""The task stream: the catalog's categories cut into K runs, each with its clips' tokens in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cache.catalog import Clip
from cache.errors import StructAlignError
from cache.store import FeatureCache
from train.seeds import generator
from train.settings import Settings

Side = Literal["test", "heldout"]
Tokenize = Callable[[list[str]], Tensor]


@dataclass(frozen=True)
class Batch:
    """B pairs of a clip and one of its captions. ``clips`` indexes the task's training clips, ``captions`` its captions."""

    tokens: Tensor  # float16 [U, N, P, C], the distinct clips of the batch
    place: Tensor  # int64 [B], which of them each pair has
    ids: Tensor  # int64 [B, L]
    labels: Tensor  # int64 [B], global class index
    clips: Tensor  # int64 [B]
    captions: Tensor  # int64 [B]
    view: int


@dataclass(frozen=True)
class Queries:
    """Captions to search with and the clips they are searched in: caption i belongs to clip ``target[i]``."""

    clips: tuple[str, ...]
    ids: Tensor
    target: Tensor


@dataclass(frozen=True)
class Task:
    """One task: training views on the device, captions, and the clips it is evaluated on."""

    number: int  # 1-based
    categories: tuple[str, ...]
    tokens: Tensor  # float16 [views, M, N, P, C]
    clip_labels: Tensor  # int64 [M]
    ids: Tensor  # int64 [Q, L]
    caption_clip: Tensor  # int64 [Q]
    queries: Queries
    negatives: Tensor  # float16 [R, N, P, C], what a method may store as later tasks' negatives; on the CPU or the device
    first_class: int  # global index of the task's first category
    settings: Settings
    seed: int

    @property
    def steps(self) -> int:
        """Batches of one epoch."""
        return len(self._order(0))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch: every caption once; view ``epoch mod views``."""
        view = epoch % len(self.tokens)
        for order in self._order(epoch):
            captions = order.to(self.tokens.device)
            clips = self.caption_clip[captions]
            distinct, place = clips.unique(return_inverse=True)
            yield Batch(self.tokens[view, distinct], place, self.ids[captions], self.clip_labels[clips], clips, captions, view)

    def _order(self, epoch: int) -> list[Tensor]:
        rng = generator(self.seed, f"batches/{epoch}", self.number)
        shuffled = torch.randperm(len(self.ids), generator=rng)
        if self.settings.batches == "pairs":
            return list(shuffled.split(self.settings.batch))
        return _distinct_batches(shuffled, self.caption_clip.cpu(), self.settings.batch)


def _distinct_batches(order: Tensor, caption_clip: Tensor, size: int) -> list[Tensor]:
    """Batches in which no clip occurs twice, so that no caption is its own clip's negative: round r holds each clip's r-th caption."""
    rounds: dict[int, list[int]] = {}
    seen: dict[int, int] = {}
    for caption in order.tolist():
        clip = int(caption_clip[caption])
        turn = seen.get(clip, 0)
        seen[clip] = turn + 1
        rounds.setdefault(turn, []).append(caption)
    return [part for _, members in sorted(rounds.items()) for part in _even_split(torch.tensor(members), size)]


def _even_split(members: Tensor, size: int) -> list[Tensor]:
    pieces = -(-len(members) // size)
    return list(members.tensor_split(pieces))


class TaskStream:
    """K tasks over a cache, in the catalog's category order. Tokens of a task are read when it is asked for.

    Raises:
        StructAlignError: K is more than the categories or does not divide them; a task without training or test clips.
    """

    def __init__(self, cache: FeatureCache, tasks: int, settings: Settings, seed: int, device: torch.device) -> None:
        categories = cache.catalog.categories
        if not 1 <= tasks <= len(categories):
            raise StructAlignError(f"--tasks {tasks}: '{cache.catalog.dataset}' has {len(categories)} categories; choose 1 to {len(categories)}")
        if len(categories) % tasks:
            fits = [str(k) for k in range(1, len(categories) + 1) if len(categories) % k == 0]
            raise StructAlignError(f"--tasks {tasks} does not divide the {len(categories)} categories; choose one of {', '.join(fits)}")
        self.cache, self.tasks, self.settings, self.seed, self.device = cache, tasks, settings, seed, device
        size = len(categories) // tasks
        self.categories = [categories[size * index : size * (index + 1)] for index in range(tasks)]
        for number in range(1, tasks + 1):
            names = ", ".join(self.categories[number - 1])
            if not self._trained(number):
                raise StructAlignError(f"task {number} ({names}) has no usable training clip in this cache")
            for side in {settings.measured_on, settings.chosen_on or settings.measured_on}:
                if not self._searched(number, side):
                    raise StructAlignError(
                        f"task {number} ({names}) has no usable {'test' if side == 'test' else 'held-out training'} clip in this cache"
                    )

    def class_index(self) -> dict[str, int]:
        """Global class index of every category."""
        return {name: index for index, name in enumerate(self.cache.catalog.categories)}

    def task(self, number: int, tokenize: Tokenize, everything: bool = False) -> Task:
        """Task ``number`` (1-based) with its training tokens on the device; with ``everything`` those of all tasks."""
        train = [clip for n in (range(1, self.tasks + 1) if everything else (number,)) for clip in self._trained(n)]
        index = self.class_index()
        tokens = torch.from_numpy(self.cache.all_views([clip.id for clip in train]))
        captions = [(row, text) for row, clip in enumerate(train) for text in clip.captions]
        queries = self.queries(number, tokenize)
        return Task(
            number,
            self.categories[number - 1],
            tokens.to(self.device),
            torch.tensor([index[clip.category] for clip in train], device=self.device),
            tokenize([text for _, text in captions]).to(self.device),
            torch.tensor([row for row, _ in captions], device=self.device),
            queries,
            self.query_tokens(queries) if self.settings.negatives == "test" else tokens[0],
            index[self.categories[number - 1][0]],
            self.settings,
            self.seed,
        )

    def queries(self, number: int, tokenize: Tokenize, side: Side | None = None) -> Queries:
        """Captions and clips of task ``number`` on a side: its test clips, or the training clips kept aside. By default what is measured on."""
        clips = self._searched(number, side or self.settings.measured_on)
        captions = [(row, text) for row, clip in enumerate(clips) for text in clip.captions]
        ids = tokenize([text for _, text in captions])
        return Queries(tuple(clip.id for clip in clips), ids, torch.tensor([row for row, _ in captions]))

    def query_tokens(self, queries: Queries) -> Tensor:
        """Tokens of the clips that are searched, view 0: float16 [V, N, P, C], on the CPU."""
        return torch.from_numpy(self.cache.tokens(queries.clips))

    def coverage(self) -> float:
        """Clips that are searched over clips the catalog has for it."""
        side = self.settings.measured_on
        numbers = range(1, self.tasks + 1)
        searched = sum(len(self._searched(number, side)) for number in numbers)
        if side == "test":
            return searched / sum(len(self.cache.catalog.select("test", self.categories[number - 1])) for number in numbers)
        return searched / sum(len(self._kept_aside(self.cache.catalog.select("train", self.categories[number - 1]))[1]) for number in numbers)

    def _trained(self, number: int) -> list[Clip]:
        return self.cache.ok(self._kept_aside(self.cache.catalog.select("train", self.categories[number - 1]))[0])

    def _searched(self, number: int, side: Side) -> list[Clip]:
        names = self.categories[number - 1]
        if side == "heldout":
            return self.cache.ok(self._kept_aside(self.cache.catalog.select("train", names))[1])
        clips = self.cache.ok(self.cache.catalog.select("test", names))
        whole = len(clips) - len(clips) % self.settings.batch
        return clips[:whole] if self.settings.remainder == "dropped" else clips

    def _kept_aside(self, clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
        """Training clips parted by category, with a seed of its own, into those to train on and the held-out share."""
        kept, aside = [], []
        for name in dict.fromkeys(clip.category for clip in clips):
            mine = [clip for clip in clips if clip.category == name]
            order = torch.randperm(len(mine), generator=generator(0, f"heldout/{name}")).tolist()
            share = self.settings.heldout_share
            cut = max(1, round(len(mine) * share)) if share and len(mine) > 1 else 0
            aside += [mine[i] for i in sorted(order[:cut])]
            kept += [mine[i] for i in sorted(order[cut:])]
        return kept, aside

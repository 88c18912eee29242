"""The task stream: tasks in order, each with some categories of a cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cache.catalog import Clip, Split
from ..cache.reader import FeatureCache
from ..core.errors import StructAlignError
from .method_config import EvalSplit, TrainSettings
from .seeds import generator

Tokenize = Callable[[list[str]], Tensor]
Columns = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """B pairs of a clip and one of its captions; ``tokens`` holds each of their U clips once."""

    tokens: Tensor  # float16 [U, N, P, C]
    index: Tensor  # int64 [B], the row of each pair's clip in ``tokens``
    token_ids: Tensor  # int64 [B, L]
    labels: Tensor  # int64 [B], global class number
    clips: Tensor  # int64 [B], among the task's training clips
    captions: Tensor  # int64 [B], among the task's captions
    view: int


@dataclass(frozen=True)
class Queries:
    """Captions and the clips that they are searched in: caption i belongs to ``target[i]``."""

    clips: tuple[str, ...]
    token_ids: Tensor  # int64 [Q, L]
    target: Tensor  # int64 [Q], indices of clips


@dataclass(frozen=True)
class Task:
    """One task's training set, on the device except where a field says otherwise."""

    number: int  # 1-based
    categories: tuple[str, ...]
    tokens: Tensor  # float16 [views, M, N, P, C]
    clip_labels: Tensor  # int64 [M]
    token_ids: Tensor  # int64 [Q, L]
    caption_clip: Tensor  # int64 [Q], on the CPU
    caption_lengths: Tensor  # int64 [Q], token ids that the tower needs, on the CPU
    first_class: int  # global class number of its first category
    classes: int  # seen so far, its own included
    eval_tokens: Callable[[], Tensor]  # float16 [V, N, P, C] of its evaluated clips
    settings: TrainSettings
    seed: int

    @property
    def steps(self) -> int:
        """Number of batches of one epoch."""
        return len(self._order(0))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """An epoch's batches: every caption once, in view ``epoch mod views``."""
        view = epoch % len(self.tokens)
        for order in self._order(epoch):
            distinct, index = self.caption_clip[order].unique(return_inverse=True)
            longest = int(self.caption_lengths[order].max())
            chosen = torch.cat([order, self.caption_clip[order], index, distinct])
            captions, clips, index, distinct = chosen.to(self.tokens.device).split(
                [len(order)] * 3 + [len(distinct)]
            )
            token_ids, labels = self.token_ids[captions, :longest], self.clip_labels[clips]
            yield Batch(
                self.tokens[view, distinct], index, token_ids, labels, clips, captions, view
            )

    def _order(self, epoch: int) -> list[Tensor]:
        rng = generator(self.seed, f"batches/{epoch}", self.number)
        shuffled = torch.randperm(len(self.token_ids), generator=rng)
        if self.settings.batches == "pairs":
            return list(shuffled.split(self.settings.batch))
        return _unique_clip_batches(shuffled, self.caption_clip, self.settings.batch)


def _unique_clip_batches(order: Tensor, caption_clip: Tensor, size: int) -> list[Tensor]:
    """Batches without two captions of one clip: round r holds each clip's r-th caption."""
    rounds: dict[int, list[int]] = {}
    seen: dict[int, int] = {}
    for caption in order.tolist():
        clip = int(caption_clip[caption])
        count = seen.get(clip, 0)
        seen[clip] = count + 1
        rounds.setdefault(count, []).append(caption)
    batches: list[Tensor] = []
    for _, members in sorted(rounds.items()):
        batches += torch.tensor(members).tensor_split(-(-len(members) // size))
    return batches


def _captions(clips: list[Clip], tokenize: Tokenize) -> tuple[Tensor, Tensor]:
    """Token ids int64 [Q, L] of all captions, and the index of each one's clip, int64 [Q]."""
    texts = [(index, text) for index, clip in enumerate(clips) for text in clip.captions]
    return tokenize([text for _, text in texts]), torch.tensor([index for index, _ in texts])


@dataclass(frozen=True)
class StreamPart:
    """One cache of a stream, and the categories of each of its tasks.

    ``left_out``: clips that earlier parts have already.
    """

    cache: FeatureCache
    tasks: tuple[tuple[str, ...], ...]
    left_out: frozenset[str] = frozenset()

    @property
    def clips(self) -> Iterator[str]:
        """The ids of its clips."""
        return (clip.id for clip in self.cache.catalog if clip.id not in self.left_out)

    def select(self, split: Split, categories: tuple[str, ...]) -> list[Clip]:
        """The catalog's clips of a split and some categories, without those left out."""
        clips = self.cache.catalog.select(split, categories)
        return [clip for clip in clips if clip.id not in self.left_out]


class TaskStream:
    """Tasks in their order of arrival. A task's tokens are read when ``task`` is called.

    A category that recurs in another cache extends the same class. ``device`` is the training
    tokens'. Raises StructAlignError for a task without training or evaluated clips.
    """

    def __init__(
        self, parts: Sequence[StreamPart], settings: TrainSettings, seed: int, device: torch.device
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.parts = [part for part in parts for _ in part.tasks]
        self.caches = [part.cache for part in self.parts]
        self.categories = [names for part in parts for names in part.tasks]
        self._is_untested = [
            not any(
                clip.split == "test" and clip.id not in part.left_out for clip in part.cache.catalog
            )
            for part in self.parts
        ]
        ordered = dict.fromkeys(name for names in self.categories for name in names)
        self.class_number = {name: number for number, name in enumerate(ordered)}
        for number, names in enumerate(self.categories, 1):
            where = f"task {number} ({', '.join(names)}) has no usable"
            if not self.train_clips(number):
                raise StructAlignError(f"{where} training clip in this cache")
            for split in self.eval_splits:
                if not self.eval_clips(number, split):
                    kind = "test" if split == "test" else "held-out training"
                    raise StructAlignError(f"{where} {kind} clip in this cache")

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self.categories)

    @property
    def eval_splits(self) -> set[EvalSplit]:
        """The splits that evaluation and epoch selection use."""
        settings = self.settings
        return {settings.eval_split, settings.selection_split or settings.eval_split}

    def task(self, number: int, tokenize: Tokenize, columns: Columns) -> Task:
        """Task ``number`` (1-based) with its training tokens on the device.

        ``columns`` counts the token ids of each caption that the text tower needs.
        """
        clips = self.train_clips(number)
        tokens = torch.from_numpy(self.caches[number - 1].all_views([clip.id for clip in clips]))
        labels = [self.class_number[clip.category] for clip in clips]
        token_ids, caption_clip = _captions(clips, tokenize)
        return Task(
            number,
            self.categories[number - 1],
            tokens.to(self.device),
            torch.tensor(labels, device=self.device),
            token_ids.to(self.device),
            caption_clip,
            columns(token_ids),
            self.class_number[self.categories[number - 1][0]],
            len({name for names in self.categories[:number] for name in names}),
            lambda: self.tokens(number, self.eval_clips(number)),
            self.settings,
            self.seed,
        )

    def queries(self, number: int, tokenize: Tokenize, split: EvalSplit | None = None) -> Queries:
        """Captions and clips of task ``number`` in a split, by default the evaluated one."""
        clips = self.eval_clips(number, split)
        return Queries(tuple(clip.id for clip in clips), *_captions(clips, tokenize))

    def tokens(self, number: int, clips: Sequence[Clip]) -> Tensor:
        """Tokens of clips of task ``number``, view 0: float16 [V, N, P, C], on the CPU."""
        return torch.from_numpy(self.caches[number - 1].tokens([clip.id for clip in clips]))

    def train_clips(self, number: int, with_heldout: bool = False) -> list[Clip]:
        """The training clips of a task; held-out ones too ``with_heldout``."""
        cache = self.caches[number - 1]
        clips = self.parts[number - 1].select("train", self.categories[number - 1])
        return cache.available(clips if with_heldout else self._divide(clips)[0])

    def eval_clips(self, number: int, split: EvalSplit | None = None) -> list[Clip]:
        """A task's clips in a split; where a cache has no test clips, its training clips."""
        clips = self.caches[number - 1].available(self._catalog_clips(number, split))
        whole = len(clips) - len(clips) % self.settings.batch
        is_test = (split or self.settings.eval_split) == "test"
        return clips[:whole] if self.settings.drop_last and is_test else clips

    def is_evaluated_on_training_clips(self, number: int) -> bool:
        """Whether a task is evaluated on the clips it learns, as its cache has no test clips."""
        return self.settings.eval_split == "test" and self._is_untested[number - 1]

    def coverage(self, tasks: int) -> float:
        """Share of the evaluation clips that have tokens, in the first ``tasks`` tasks."""
        numbers = range(1, tasks + 1)
        evaluated = sum(len(self.eval_clips(number)) for number in numbers)
        return evaluated / sum(len(self._catalog_clips(number)) for number in numbers)

    def _catalog_clips(self, number: int, split: EvalSplit | None = None) -> list[Clip]:
        """The catalog's clips of a task in a split, including those without tokens."""
        names, part = self.categories[number - 1], self.parts[number - 1]
        if (split or self.settings.eval_split) == "heldout":
            return self._divide(part.select("train", names))[1]
        return part.select("train" if self._is_untested[number - 1] else "test", names)

    def _divide(self, clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
        """Training clips split, within each category, into those to train on and those held out."""
        kept: list[Clip] = []
        held_out: list[Clip] = []
        share = self.settings.heldout_share
        for name in dict.fromkeys(clip.category for clip in clips):
            members = [clip for clip in clips if clip.category == name]
            rng = generator(0, f"heldout/{name}")
            order = torch.randperm(len(members), generator=rng).tolist()
            cut = max(1, round(len(members) * share)) if share and len(members) > 1 else 0
            held_out += [members[i] for i in sorted(order[:cut])]
            kept += [members[i] for i in sorted(order[cut:])]
        return kept, held_out

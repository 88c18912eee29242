"""The catalog: a dataset's clips with captions, categories and splits, and the category order."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from .runtime.errors import StructAlignError
from .shared.files import parse_json, write_text

Split = Literal["train", "test"]
LONGEST = 200  # characters of a category
SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@=+-]*")


@dataclass(frozen=True)
class Clip:
    """A video or a timed part of one.

    ``path`` is relative to the dataset's root. ``start`` and ``end`` are seconds, None for a whole
    video. ``twin`` names the other clip of a motion pair: they differ in motion alone.
    """

    id: str
    path: str
    category: str
    split: Split
    captions: tuple[str, ...]
    start: float | None = None
    end: float | None = None
    twin: str | None = None


@dataclass(frozen=True)
class Catalog:
    """Clips of one dataset. ``categories`` is the order in which categories arrive.

    Raises:
        StructAlignError: no clips, an id that is used twice or unfit for a file name, a missing or
            empty caption, an unknown split or category, or a time that is not a time.
    """

    dataset: str
    categories: tuple[str, ...]
    clips: tuple[Clip, ...]

    def __post_init__(self) -> None:
        if not self.clips:
            raise StructAlignError(
                f"dataset '{self.dataset}' has no clips; check --root and the annotation files"
            )
        if not isinstance(self.dataset, str) or not SAFE_ID.fullmatch(self.dataset):
            raise StructAlignError(
                f"dataset name {self.dataset!r} is unfit for a file name; "
                "use letters, digits and _ . - + = @"
            )
        for name in self.categories:
            if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST:
                raise StructAlignError(
                    f"dataset '{self.dataset}': category {str(name)[:40]!r} is no name; "
                    f"use at most {LONGEST} printable characters"
                )
        known, ids = set(self.categories), set()
        if len(known) != len(self.categories):
            raise StructAlignError(f"dataset '{self.dataset}' names a category twice in its order")
        for clip in self.clips:
            if problem := next(_problems(clip, known), None):
                raise StructAlignError(problem)
            if clip.id in ids:
                raise StructAlignError(f"two clips are called '{clip.id}'; ids must differ")
            ids.add(clip.id)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, clip_id: str) -> Clip:
        return self._by_id[clip_id]

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self._by_id

    @cached_property
    def _by_id(self) -> dict[str, Clip]:
        return {clip.id: clip for clip in self.clips}

    def select(self, split: Split, categories: tuple[str, ...]) -> list[Clip]:
        """Clips of a split and some categories, in those categories' order."""
        place = {name: index for index, name in enumerate(categories)}
        chosen = [clip for clip in self.clips if clip.split == split and clip.category in place]
        return sorted(chosen, key=lambda clip: place[clip.category])

    def hash(self) -> str:
        """sha256 over everything but the clips' paths and order."""
        rows = sorted(
            [c.id, c.category, c.split, list(c.captions), c.start, c.end, c.twin]
            for c in self.clips
        )
        body = [self.dataset, self.categories, rows]
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the catalog as JSON."""
        clips = [asdict(clip) for clip in self.clips]
        body = {"dataset": self.dataset, "categories": self.categories, "clips": clips}
        write_text(path, json.dumps(body, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Catalog":
        """Read what ``save`` wrote. Raises StructAlignError for a file that is not a catalog."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise StructAlignError(f"{path} is not a catalog: {error}") from error

    @classmethod
    def parse(cls, text: str, where: str) -> "Catalog":
        """The catalog in a text from ``where``. Raises StructAlignError when it holds none."""
        try:
            body = parse_json(text)
            if any(not isinstance(row.get("twin"), str | None) for row in body["clips"]):
                raise TypeError("a twin is no clip id")
            clips = [Clip(**{**row, "captions": _texts(row["captions"])}) for row in body["clips"]]
            return cls(body["dataset"], _texts(body["categories"]), tuple(clips))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StructAlignError(f"{where} is not a catalog: {error}") from error


def shared_captions(clips: Sequence[Clip]) -> str | None:
    """How many test captions describe several clips, and what R@1 can reach; None where none do.

    Of the clips that share a caption one alone is first, so each of its queries counts 1 / clips.
    """
    counts = Counter(text for clip in clips for text in {text.strip() for text in clip.captions})
    queries = [counts[text.strip()] for clip in clips for text in clip.captions]
    several = sum(count > 1 for count in queries)
    if not several:
        return None
    bound = 100 * sum(1 / count for count in queries) / len(queries)
    return (
        f"{several} of {len(queries)} test captions describe more than one clip: "
        f"R@1 cannot exceed {bound:.3g}"
    )


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{str(value)[:40]!r} is no list of texts")
    return tuple(value)


def _problems(clip: Clip, categories: set[str]) -> Iterator[str]:
    """What is wrong with a clip, the first thing first."""
    name, path = f"clip '{clip.id}'", clip.path
    if not isinstance(clip.id, str) or not SAFE_ID.fullmatch(clip.id) or len(clip.id) > LONGEST:
        yield f"clip id {clip.id!r} is unfit for a file name; use letters, digits and _ . - + = @"
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
        yield f"{name}: path {path!r} must be relative and stay below the dataset's root"
    elif not path.isprintable():
        yield f"{name}: path {path!r} holds control characters; rename the file"
    if clip.split not in get_args(Split):
        yield f"{name}: split is {clip.split!r}; it must be train or test"
    if clip.category not in categories:
        yield f"{name}: category {clip.category!r} is not in the dataset's category order"
    if not clip.captions:
        yield f"{name} has no caption; every clip needs at least one"
    if any(not isinstance(text, str) or not text.strip() for text in clip.captions):
        yield f"{name} has an empty caption; fill it in or remove the row"
    for which, value in (("start", clip.start), ("end", clip.end)):
        number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
        if value is not None and not number:
            yield f"{name}: {which} is {value!r}; it must be seconds, 0 or more"
    if clip.start is not None and clip.end is not None and clip.end <= clip.start:
        yield f"{name} ends at {clip.end} s, not after its start at {clip.start} s"

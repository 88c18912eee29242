"""The catalog.

Which clips a dataset has, with captions, categories, sides and the order in which categories
arrive.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from .runtime.errors import StructAlignError
from .shared.files import write_text

Split = Literal["train", "test"]
SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@=+-]*")


@dataclass(frozen=True)
class Clip:
    """A video or a timed part of one.

    ``path`` is relative to the dataset's root. ``start`` and ``end`` are seconds, None for a whole
    video. ``twin`` names a clip that differs from this one in nothing but motion, where a dataset
    has such pairs.
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
    """Clips of one dataset.

    ``categories`` is the order in which they arrive; K tasks are K equal runs of it.

    Raises:
        StructAlignError: no clips; two clips with one id; an id unfit for a file name; a clip
            without captions or with an empty one; an unknown split or category; a time that is not
            a time.
    """

    dataset: str
    categories: tuple[str, ...]
    clips: tuple[Clip, ...]

    def __post_init__(self) -> None:
        if not self.clips:
            raise StructAlignError(
                f"dataset '{self.dataset}' has no clips; check --root and the annotation files"
            )
        known, ids = set(self.categories), set()
        if len(known) != len(self.categories):
            raise StructAlignError(f"dataset '{self.dataset}' names a category twice in its order")
        for clip in self.clips:
            _check(clip, known)
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
        """Clips of one side and some categories, in the categories' order and within it in the
        catalog's.
        """
        place = {name: index for index, name in enumerate(categories)}
        chosen = [clip for clip in self.clips if clip.split == split and clip.category in place]
        return sorted(chosen, key=lambda clip: place[clip.category])

    def hash(self) -> str:
        """sha256 over everything the catalog says but where files lie.

        The clips' order does not matter.
        """
        rows = sorted(
            [c.id, c.category, c.split, list(c.captions), c.start, c.end, c.twin]
            for c in self.clips
        )
        text = json.dumps(
            [self.dataset, self.categories, rows], ensure_ascii=False, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the catalog as JSON."""
        body = {
            "dataset": self.dataset,
            "categories": self.categories,
            "clips": [asdict(clip) for clip in self.clips],
        }
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
        """The catalog in a text that comes from ``where``.

        Raises StructAlignError for one that is not a catalog.
        """
        try:
            body = json.loads(text)
            clips = tuple(
                Clip(**{**row, "captions": tuple(row["captions"])}) for row in body["clips"]
            )
            return cls(body["dataset"], tuple(body["categories"]), clips)
        except (ValueError, KeyError, TypeError) as error:
            raise StructAlignError(f"{where} is not a catalog: {error}") from error


def _check(clip: Clip, categories: set[str]) -> None:
    if not isinstance(clip.id, str) or not SAFE_ID.fullmatch(clip.id):
        raise StructAlignError(
            f"clip id {clip.id!r} is unfit for a file name; use letters, digits and _ . - + = @"
        )
    if (
        not isinstance(clip.path, str)
        or not clip.path
        or clip.path.startswith("/")
        or ".." in clip.path.split("/")
    ):
        raise StructAlignError(
            f"clip '{clip.id}': path {clip.path!r} must be relative and stay below the dataset's "
            "root"
        )
    if clip.split not in get_args(Split):
        raise StructAlignError(
            f"clip '{clip.id}': split is {clip.split!r}; it must be train or test"
        )
    if clip.category not in categories:
        raise StructAlignError(
            f"clip '{clip.id}': category {clip.category!r} is not in the dataset's category order"
        )
    if not clip.captions:
        raise StructAlignError(f"clip '{clip.id}' has no caption; every clip needs at least one")
    for caption in clip.captions:
        if not isinstance(caption, str) or not caption.strip():
            raise StructAlignError(
                f"clip '{clip.id}' has an empty caption; fill it in or remove the row"
            )
    for name, value in (("start", clip.start), ("end", clip.end)):
        if value is not None and not (
            isinstance(value, int | float) and math.isfinite(value) and value >= 0
        ):
            raise StructAlignError(
                f"clip '{clip.id}': {name} is {value!r}; it must be seconds, 0 or more"
            )
    if clip.start is not None and clip.end is not None and clip.end <= clip.start:
        raise StructAlignError(
            f"clip '{clip.id}' ends at {clip.end} s, not after its start at {clip.start} s"
        )

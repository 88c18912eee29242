"""The catalog: clips with captions, categories and splits, and the order of the categories."""

import hashlib
import json
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from ..core.errors import StructAlignError
from ..core.hashing import MISSING

Split = Literal["train", "test"]
LONGEST, LONGEST_ID = 200, 1000  # characters of a category, of a clip's id
DATASET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@=+-]*")


@dataclass(frozen=True)
class Clip:
    """A video or a timed part of one.

    ``path`` is relative to the dataset's root; ``start`` and ``end`` are seconds, None for a whole
    video; ``extra`` is what else a dataset says of it, by name, which caches keep and do not read.
    """

    id: str
    path: str
    category: str
    split: Split
    captions: tuple[str, ...]
    start: float | None = None
    end: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)


class Catalog:
    """Clips of one dataset. ``categories`` is the order in which categories arrive.

    Raises StructAlignError for what ``_check_names`` and ``_problems`` list, and for equal ids.
    """

    clips: Sequence[Clip]

    def __init__(self, dataset: str, categories: tuple[str, ...], clips: Iterable[Clip]) -> None:
        self.dataset, self.categories, self.clips = dataset, categories, tuple(clips)
        self._check_names()
        for clip in self.clips:
            self._check(clip)
        _ = self._indexes

    @property
    def ids(self) -> list[str]:
        """The clips' ids, in order."""
        return [clip.id for clip in self.clips]

    def index(self, clip_id: str) -> int:
        """The index of a clip in ``clips``. Raises KeyError."""
        return self._indexes[clip_id]

    def count(self, split: Split) -> int:
        """How many clips a split has."""
        return sum(clip.split == split for clip in self.clips)

    @property
    def captions(self) -> int:
        """How many captions all clips have."""
        return sum(len(clip.captions) for clip in self.clips)

    def select(self, split: Split, categories: tuple[str, ...]) -> list[Clip]:
        """Clips of a split and some categories, in those categories' order."""
        rank = {name: index for index, name in enumerate(categories)}
        chosen = [clip for clip in self.clips if clip.split == split and clip.category in rank]
        return sorted(chosen, key=lambda clip: rank[clip.category])

    def hash(self) -> str:
        """sha256 over everything but the clips' paths and order."""
        rows = [
            [c.id, c.category, c.split, list(c.captions), c.start, c.end, _hashed(c.extra)]
            for c in sorted(self, key=lambda clip: clip.id)
        ]
        body = [self.dataset, self.categories, rows]
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, clip_id: str) -> Clip:
        return self.clips[self._indexes[clip_id]]

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self._indexes

    @cached_property
    def _indexes(self) -> dict[str, int]:
        ids = self.ids
        indexes = {clip_id: index for index, clip_id in enumerate(ids)}
        if len(indexes) != len(ids):
            doubled = next(name for index, name in enumerate(ids) if indexes[name] != index)
            raise StructAlignError(f"two clips are called '{doubled}'; ids must differ")
        return indexes

    def _check_names(self) -> None:
        if not self.clips:
            raise StructAlignError(
                f"dataset '{self.dataset}' has no clips; check --root and the annotation files"
            )
        if not isinstance(self.dataset, str) or not DATASET_NAME.fullmatch(self.dataset):
            raise StructAlignError(
                f"dataset name {self.dataset!r} is unfit for a file name; "
                "use letters, digits and _ . - + = @"
            )
        for name in self.categories:
            if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST:
                raise StructAlignError(
                    f"dataset '{self.dataset}': category {str(name)[:40]!r} is not a name; "
                    f"use at most {LONGEST} printable characters"
                )
        if len(self._category_set) != len(self.categories):
            raise StructAlignError(f"dataset '{self.dataset}' names a category twice in its order")

    def _check(self, clip: Clip) -> Clip:
        """Return ``clip``. Raises StructAlignError."""
        if problem := next(_problems(clip, self._category_set), None):
            raise StructAlignError(problem)
        return clip

    @cached_property
    def _category_set(self) -> set[str]:
        return set(self.categories)


def _hashed(extra: Mapping[str, str]) -> str | dict[str, str] | None:
    """What the catalog's hash covers. Version 0.3 had no extra but ``twin``, and hashed it bare."""
    return extra.get("twin") if extra.keys() <= {"twin"} else dict(sorted(extra.items()))


def content_of(
    clip: Clip, sources: Mapping[str, str], is_clamped: bool = False
) -> tuple[str, float, float | None] | None:
    """What a clip shows: the hash of its file, its start and end. None if the file is not known.

    ``is_clamped`` says that it ends after its video.
    """
    digest = sources.get(clip.path, MISSING)
    end = None if is_clamped else clip.end
    return None if digest == MISSING else (digest, clip.start or 0.0, end)


def equal_clips(contents: Iterable[tuple[str, Hashable | None]]) -> list[list[str]]:
    """The ids of clips that show the same, from (id, content), group by group in their order."""
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for clip_id, content in contents:
        if content is not None:
            groups[content].append(clip_id)
    return [ids for ids in groups.values() if len(ids) > 1]


def equal_clips_warning(groups: Sequence[Sequence[str]], kind: str) -> str | None:
    """One line about groups of equal clips, None without one; ``kind`` of clips: "40 clips"."""
    if not groups:
        return None
    listing = ", ".join(" = ".join(ids[:4]) + " = ..." * (len(ids) > 4) for ids in groups[:5])
    return (
        f"{sum(map(len, groups))} of {kind} show the same as another, of equal files and times "
        f"({listing}{', ...' * (len(groups) > 5)}): no caption can tell them apart"
    )


def shared_captions(clips: Sequence[Clip]) -> str | None:
    """How many test captions describe several clips, and the best R@1 still attainable; else None.

    Only one of n clips that share a caption can rank first, so each of its queries counts 1 / n.
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


def _problems(clip: Clip, categories: set[str]) -> Iterator[str]:
    """What is wrong with a clip."""
    name, path = f"clip '{clip.id}'", clip.path
    if problem := _id_problem(clip.id):
        yield f"clip id {str(clip.id)[:60]!r} {problem}"
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
    elif not all(map(_is_unicode, clip.captions)):
        yield f"{name} has a caption with half a surrogate pair, which is no text; write it again"
    if not all(isinstance(text, str) for item in clip.extra.items() for text in item):
        yield f"{name}: extra {clip.extra!r} must map texts to texts"
    for which, value in (("start", clip.start), ("end", clip.end)):
        number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
        if value is not None and not number:
            yield f"{name}: {which} is {value!r}; it must be seconds, 0 or more"
    if clip.start is not None and clip.end is not None and clip.end <= clip.start:
        yield f"{name} ends at {clip.end} s, not after its start at {clip.start} s"


def composed(text: str) -> str:
    """A text in Unicode's composed form (NFC), in which equal names are equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _id_problem(name: str) -> str | None:
    if not isinstance(name, str) or not name or name != name.strip():
        return "is not a text without blanks at its ends"
    if not name.isprintable() or composed(name) != name:
        return "holds characters that cannot be seen, or is not in Unicode's composed form (NFC)"
    if len(name) > LONGEST_ID or {".", ".."} & set(name.split("/")):
        return f"must have at most {LONGEST_ID} characters, and no part . or .."
    return None


def _is_unicode(text: str) -> bool:
    """Whether a text can be written: JSON can hold half of a character, ``"\\ud800"``."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False

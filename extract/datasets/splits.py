"""The benchmark's split files: pickles, read by a restricted unpickler.

It allows dict, list, defaultdict, str and int.
"""

import io
import pickle
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...cache.catalog import Split
from ...core.errors import StructAlignError
from .file_index import CTVR, FileIndex

ALLOWED = {("collections", "defaultdict"): defaultdict, ("builtins", "list"): list,
           ("builtins", "dict"): dict}  # fmt: skip
ONLY = "a split file holds only dict, list, defaultdict, str and int"
UNREADABLE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError,
    MemoryError, UnicodeDecodeError,
)  # fmt: skip
Videos = dict[str, list[str]]  # by category, in order


class RestrictedUnpickler(pickle.Unpickler):
    """Resolves the globals in ``ALLOWED`` and refuses all others before they run."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a global. Raises StructAlignError for one that is not allowed."""
        if (module, name) not in ALLOWED:
            raise StructAlignError(f"it asks for {module}.{name}; {ONLY}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Raise StructAlignError: a split file refers to nothing outside itself."""
        raise StructAlignError(f"it refers to an object outside the file; {ONLY}")


@dataclass(frozen=True)
class BenchmarkSplit:
    """One split file: the order of categories, and each category's videos in both splits."""

    categories: tuple[str, ...]
    train: Videos
    test: Videos
    tasks: int = field(compare=False)

    def rows(self) -> Iterator[tuple[Split, str, str]]:
        """(split, video, category) of every video, category by category, train first."""
        for category in self.categories:
            yield from (("train", video, category) for video in self.train[category])
            yield from (("test", video, category) for video in self.test[category])


def read_split(path: Path) -> BenchmarkSplit:
    """Read ``{train, val} -> task (1..K) -> category -> videos``; category keys become text.

    Raises StructAlignError: the file is not a pickle, holds other types, or has another structure.
    """
    try:
        body = RestrictedUnpickler(io.BytesIO(path.read_bytes())).load()
    except StructAlignError as error:
        raise StructAlignError(f"split file {path} is refused: {error}") from error
    except UNREADABLE as error:
        raise StructAlignError(f"split file {path} is not a readable pickle: {error}") from error
    _check_leaves(path, body)
    try:
        train, test = (_videos(body[name]) for name in ("train", "val"))
        tasks = len(body["train"])
    except (KeyError, TypeError, AttributeError) as error:
        raise StructAlignError(
            f"split file {path} does not hold train and val, each task -> category -> videos "
            f"({error})"
        ) from error
    names = [[name for name, _ in videos] for videos in (train, test)]
    if names[0] != names[1]:
        raise StructAlignError(
            f"split file {path} has other categories in train than in val, or in another order"
        )
    if len(set(names[0])) != len(names[0]):
        raise StructAlignError(f"split file {path} has one category in two tasks")
    return BenchmarkSplit(tuple(names[0]), dict(train), dict(test), tasks)


def read_benchmark_split(index: FileIndex, name: str) -> BenchmarkSplit:
    """Read ``<name>_20_dataset.pkl`` and ``<name>_10_dataset.pkl``, or the one that is there.

    Both order the same categories and videos; the file for K = 20 tasks refines that for K = 10.
    Raises StructAlignError: neither file is there, or the files contradict each other.
    """
    files = index.files_ending(f"{name}_20_dataset.pkl", f"{name}_10_dataset.pkl")
    if not files:
        index.file(f"{name}_20_dataset.pkl", CTVR)
    splits = [(path, read_split(path)) for path in files]
    path, finest = max(splits, key=lambda pair: pair[1].tasks)
    for other, split in splits:
        if split != finest:
            raise StructAlignError(
                f"split files {other} and {path} differ in categories, their order or their "
                "videos; take both from one source"
            )
    return finest


def _videos(tasks: dict[Any, Any]) -> list[tuple[str, list[str]]]:
    """(category, videos) in the order of the tasks. Raises TypeError."""
    found = [(str(c), videos) for _, task in sorted(tasks.items()) for c, videos in task.items()]
    if wrong := [c for c, v in found if not isinstance(v, list) or set(map(type, v)) - {str}]:
        raise TypeError(f"category {wrong[0]} is no list of names")
    return found


def _check_leaves(path: Path, value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item
        elif type(item) not in (str, int):
            kind = type(item).__name__
            raise StructAlignError(f"split file {path} is refused: it holds a {kind}; {ONLY}")

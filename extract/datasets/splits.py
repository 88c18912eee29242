"""The benchmark's split files: pickles, read by a restricted unpickler.

It allows dict, list, defaultdict, str and int.
"""

import io
import pickle
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StructAlignError

ALLOWED = {("collections", "defaultdict"): defaultdict, ("builtins", "list"): list,
           ("builtins", "dict"): dict}  # fmt: skip
ONLY = "a split file holds only dict, list, defaultdict, str and int"
UNREADABLE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError,
    MemoryError, UnicodeDecodeError,
)  # fmt: skip
Videos = dict[str, list[str]]  # by category, in order


class RestrictedUnpickler(pickle.Unpickler):
    """Finds ``ALLOWED`` alone; anything else is refused by name before it runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a global up in the closed list."""
        if (module, name) not in ALLOWED:
            raise StructAlignError(f"it asks for {module}.{name}; {ONLY}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Persistent objects are refused."""
        raise StructAlignError(f"it refers to an object outside the file; {ONLY}")


@dataclass(frozen=True)
class BenchmarkSplit:
    """One split file: the order of categories, and each category's videos in both splits."""

    categories: tuple[str, ...]
    train: Videos
    test: Videos
    tasks: int


def read_split(path: Path) -> BenchmarkSplit:
    """Read ``{train, val} -> task (1..K) -> category -> videos``; category keys become text.

    Raises:
        StructAlignError: something in the file that does not belong there, or another shape.
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


def read_benchmark_split(files: list[Path]) -> BenchmarkSplit:
    """The one split behind the files for K = 10 and K = 20: refinements of one order.

    Raises:
        StructAlignError: the files contradict each other.
    """
    splits = [(path, read_split(path)) for path in files]
    path, finest = max(splits, key=lambda pair: pair[1].tasks)
    for other, split in splits:
        found = (split.categories, split.train, split.test)
        if found != (finest.categories, finest.train, finest.test):
            raise StructAlignError(
                f"split files {other} and {path} differ in categories, their order or their "
                "videos; take both from one source"
            )
    return finest


def _videos(tasks: dict[Any, Any]) -> list[tuple[str, list[str]]]:
    """(category, videos) in the order of the tasks."""
    return [
        (str(c), list(videos)) for _, task in sorted(tasks.items()) for c, videos in task.items()
    ]


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
            raise StructAlignError(
                f"split file {path} is refused: it holds a {kind}; "
                "only dict, list, defaultdict, str and int belong there"
            )

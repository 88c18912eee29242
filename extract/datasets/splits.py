"""The benchmark's split files.

Pickles, read by an unpickler that admits dict, list, defaultdict, str and int, and nothing else.
"""

import io
import pickle
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.runtime.errors import StructAlignError

ALLOWED = {
    ("collections", "defaultdict"): defaultdict,
    ("builtins", "list"): list,
    ("builtins", "dict"): dict,
}
Side = dict[str, list[str]]  # category -> videos, in order


class RestrictedUnpickler(pickle.Unpickler):
    """Finds ``ALLOWED`` alone; anything else is refused by name before any of it runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a global up in the closed list."""
        if (module, name) not in ALLOWED:
            raise StructAlignError(
                f"it asks for {module}.{name}; a split file holds only dict, list, defaultdict, "
                "str and int"
            )
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Persistent objects are refused."""
        raise StructAlignError(
            "it refers to an object outside the file; a split file holds only dict, list, "
            "defaultdict, str and int"
        )


@dataclass(frozen=True)
class Split:
    """One split file: the order of categories, and the videos of each category on both sides."""

    categories: tuple[str, ...]
    train: Side
    test: Side
    tasks: int


def read_split(path: Path) -> Split:
    """Read ``{train, val} -> task (1..K) -> category -> videos``; category keys become text.

    Raises:
        StructAlignError: something in the file that does not belong there, or another shape.
    """
    try:
        body = RestrictedUnpickler(io.BytesIO(path.read_bytes())).load()
    except StructAlignError as error:
        raise StructAlignError(f"split file {path} is refused: {error}") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
        MemoryError,
        UnicodeDecodeError,
    ) as error:
        raise StructAlignError(f"split file {path} is not a readable pickle: {error}") from error
    _check_leaves(path, body)
    try:
        train, test = (_side(body[side]) for side in ("train", "val"))
        order = {
            side: [str(c) for _, task in sorted(body[side].items()) for c in task]
            for side in ("train", "val")
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise StructAlignError(
            f"split file {path} does not hold train and val, each task -> category -> videos "
            f"({error})"
        ) from error
    if order["train"] != order["val"]:
        raise StructAlignError(
            f"split file {path} has other categories in train than in val, or in another order"
        )
    if len(set(order["train"])) != len(order["train"]):
        raise StructAlignError(f"split file {path} has one category in two tasks")
    return Split(tuple(order["train"]), train, test, len(body["train"]))


def read_benchmark_split(files: list[Path]) -> Split:
    """The one split behind the files for K = 10 and K = 20, which must be refinements of one order
    with the same videos.

    Raises:
        StructAlignError: the files contradict each other.
    """
    splits = [(path, read_split(path)) for path in files]
    path, finest = max(splits, key=lambda pair: pair[1].tasks)
    for other, split in splits:
        if (split.categories, split.train, split.test) != (
            finest.categories,
            finest.train,
            finest.test,
        ):
            raise StructAlignError(
                f"split files {other} and {path} differ in categories, their order or their "
                "videos; take both from one source"
            )
    return finest


def _side(tasks: dict[Any, Any]) -> Side:
    return {
        str(category): list(videos)
        for _, task in sorted(tasks.items())
        for category, videos in task.items()
    }


def _check_leaves(path: Path, value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item
        elif type(item) not in (str, int):
            raise StructAlignError(
                f"split file {path} is refused: it holds a {type(item).__name__}; only dict, "
                "list, defaultdict, str and int belong there"
            )

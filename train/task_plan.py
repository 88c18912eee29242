"""Task plans: how many tasks, of which sizes, and the order in which categories arrive."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..cache.catalog import composed
from ..core.errors import StructAlignError
from ..core.files import read_user_text
from ..core.ranges import whole_number
from .seeds import generator

Tasks = int | Sequence[int]
SHUFFLED = "shuffled:"


def plan_tasks(
    categories: Sequence[str], tasks: Tasks, order: str | None = None
) -> tuple[tuple[str, ...], ...]:
    """The categories of each task.

    ``tasks``: their number (sizes then differ by at most one, larger ones first), or their sizes.
    ``order``: the catalog's by default; ``shuffled:SEED``; or a text file, one category per line.
    Raises StructAlignError where the two do not fit the categories.
    """
    names = ordered_categories(categories, order)
    sizes = task_sizes(len(names), tasks)
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    return tuple(tuple(names[end - size : end]) for size, end in zip(sizes, ends, strict=True))


def task_sizes(count: int, tasks: Tasks) -> list[int]:
    """The number of categories of each task. Raises StructAlignError unless they are ``count``."""
    if not isinstance(tasks, int):
        sizes = list(tasks)
        if sum(sizes) != count or min(sizes, default=0) < 1:
            raise StructAlignError(
                f"--tasks {','.join(map(str, sizes))} are {sum(sizes)} categories; the cache has "
                f"{count}: give sizes from 1 on that add up to it"
            )
        return sizes
    if not 1 <= tasks <= count:
        raise StructAlignError(
            f"--tasks {tasks}: the cache has {count} categories; choose 1 to {count}"
        )
    return [count // tasks + (number < count % tasks) for number in range(tasks)]


def ordered_categories(categories: Sequence[str], order: str | None) -> list[str]:
    """The categories in their order of arrival. Raises StructAlignError as ``plan_tasks`` does."""
    names = list(categories)
    if order is None:
        return names
    if order.startswith(SHUFFLED):
        try:
            seed = whole_number(order.removeprefix(SHUFFLED))
        except ValueError as error:
            raise StructAlignError(f"--order {order}: give a number, as in shuffled:0") from error
        permutation = torch.randperm(len(names), generator=generator(seed, "class order"))
        return [names[index] for index in permutation.tolist()]
    try:
        lines = read_user_text(Path(order)).splitlines()
    except StructAlignError as error:
        raise StructAlignError(
            f"--order {order}: give shuffled:SEED, or a text file, one category per line ({error})"
        ) from error
    spelled = {composed(name): name for name in names}  # a file may spell é with two characters
    given = [spelled.get(composed(n), n) for line in lines if (n := line.strip())]
    wrong = {
        "is not a category of the cache": [name for name in given if name not in names],
        "is missing": [name for name in names if name not in given],
        "is listed twice": [name for name in given if given.count(name) > 1],
    }
    for what, which in wrong.items():
        if which:
            raise StructAlignError(f"--order {order}: '{which[0]}' {what}")
    return given


def unequal(plan: Sequence[Sequence[str]], tasks: Tasks) -> str | None:
    """A line about tasks of unequal sizes, where only their number was given; else None."""
    sizes = [len(names) for names in plan]
    if not isinstance(tasks, int) or min(sizes) == max(sizes):
        return None
    return (
        f"{sum(sizes)} categories in {len(sizes)} tasks: {max(sizes)} in the first "
        f"{sizes.count(max(sizes))}, {min(sizes)} in the others"
    )

"""Categories become tasks of any shape, in any order, and nothing is dropped in silence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structalign.core.errors import StructAlignError
from structalign.train.task_plan import plan_tasks, task_sizes, unequal

NAMES = ("music", "sport", "food", "news", "travel", "games", "cars")


@given(st.integers(1, 300), st.data())
def test_sizes_differ_by_one_at_most(count: int, data: st.DataObject) -> None:
    tasks = data.draw(st.integers(1, count))
    sizes = task_sizes(count, tasks)
    assert sum(sizes) == count and len(sizes) == tasks
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


def test_sizes_as_given() -> None:
    plan = plan_tasks(NAMES, (3, 3, 1))
    assert plan == (("music", "sport", "food"), ("news", "travel", "games"), ("cars",))
    for sizes in ((3, 3), (8,), (7, 0), ()):
        with pytest.raises(StructAlignError, match="the cache has 7"):
            plan_tasks(NAMES, sizes)
    for tasks in (0, 8):
        with pytest.raises(StructAlignError, match="choose 1 to 7"):
            plan_tasks(NAMES, tasks)


def test_what_does_not_divide_is_told() -> None:
    message = unequal(plan_tasks(NAMES, 3), 3)
    assert message == "7 categories in 3 tasks: 3 in the first 1, 2 in the others"
    assert unequal(plan_tasks(NAMES, 7), 7) is None
    assert unequal(plan_tasks(NAMES, (3, 3, 1)), (3, 3, 1)) is None


def test_a_shuffled_order_is_the_seeds_own() -> None:
    zero, one = (plan_tasks(NAMES, 7, f"shuffled:{seed}") for seed in (0, 1))
    assert zero == plan_tasks(NAMES, 7, "shuffled:0") != one
    assert sorted(zero) == sorted(one) == sorted((name,) for name in NAMES)


def test_an_order_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "order.txt"
    file.write_text("\n".join(reversed(NAMES)) + "\n\n")
    assert plan_tasks(NAMES, 1, str(file)) == (tuple(reversed(NAMES)),)
    for lines, message in (
        (NAMES[:-1], "'cars' is missing"),
        ((*NAMES, "dogs"), "'dogs' is not a category of the cache"),
        ((*NAMES, "cars"), "'cars' is listed twice"),
    ):
        file.write_text("\n".join(lines))
        with pytest.raises(StructAlignError, match=message):
            plan_tasks(NAMES, 1, str(file))
    file.write_text("Mu\u0308sli\ncars")
    assert plan_tasks(("cars", "M\u00fcsli"), 1, str(file)) == (("M\u00fcsli", "cars"),)
    for wrong in ("shuffled:x", "shuffled:²", str(tmp_path), "nowhere"):
        with pytest.raises(StructAlignError, match="--order"):
            plan_tasks(NAMES, 1, wrong)

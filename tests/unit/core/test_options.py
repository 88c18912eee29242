"""What is typed on the command line is a value, or a usage error: never a traceback."""

from typing import Any

import click
import pytest
from structalign.core.options import GRID, NUMBERS, SETTING, TASKS


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SETTING, "schedule=["),
        (SETTING, "schedule=!!tag"),
        (SETTING, "schedule={a: 1, a: 2}"),
        (SETTING, "schedule=2024-13-45"),
        (SETTING, "schedule"),
        (SETTING, "=1"),
        (NUMBERS, "0,²"),
        (NUMBERS, "-1"),
        (NUMBERS, "9" * 5000),
        (NUMBERS, "1,,2"),
        (TASKS, "²"),
        (TASKS, "9" * 5000),
        (GRID, "a="),
        (GRID, "a=1,,2"),
    ],
)
def test_refused(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.UsageError):
        kind.convert(text, None, None)


def test_read() -> None:
    assert SETTING.convert("lr=1e-3", None, None) == ("lr", "1e-3")
    assert SETTING.convert("a=b=c", None, None) == ("a", "b=c")
    assert SETTING.convert(" a=null", None, None) == ("a", None)
    assert NUMBERS.convert("0, 2", None, None) == (0, 2)

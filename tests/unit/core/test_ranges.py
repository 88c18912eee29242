"""A value outside its range is refused with the setting's name, its value and the bounds."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
from structalign.core.errors import StructAlignError
from structalign.core.ranges import check_fields, check_range, option


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "wanted"),
    [
        ({"above": 0}, [1e-9, 5], [0, -1], "above 0"),
        ({"at_least": 0, "below": 1}, [0, 0.99], [-0.01, 1], "at least 0 and below 1"),
        ({"at_least": 0, "at_most": 1}, [0, 1], [-1, 1.01], "at least 0 and at most 1"),
    ],
)
def test_bounds(
    bounds: dict[str, Any], inside: list[float], outside: list[float], wanted: str
) -> None:
    for value in inside:
        check_range("share", value, **bounds)
    for value in [*outside, math.nan]:
        with pytest.raises(StructAlignError) as raised:
            check_range("share", value, **bounds)
        assert str(raised.value) == f"share={value} must be {wanted}"


def test_what_is_not_given_passes() -> None:
    check_range("share", None, above=0)


@dataclass(frozen=True)
class Options:
    frames: int | None = option(None, "Frames per clip.", at_least=1)
    share: float = option(0.5, "A share.", at_least=0, at_most=1)


def test_options_are_checked_by_the_bounds_of_their_fields() -> None:
    check_fields(Options())
    with pytest.raises(StructAlignError, match="--frames=0 must be at least 1"):
        check_fields(Options(frames=0))

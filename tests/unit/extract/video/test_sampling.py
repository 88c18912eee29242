"""Frame sampling, by the rule and by examples worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structalign.extract.video.errors import ClipError
from structalign.extract.video.sampling import frame_range, sample_frames


@pytest.mark.parametrize(
    ("first", "last", "count", "wanted"),
    [
        (0, 12, 12, list(range(12))),
        (0, 24, 12, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]),
        (0, 100, 4, [12, 37, 62, 87]),
        (0, 3, 5, [0, 1, 2, 2, 2]),
        (30, 60, 3, [34, 44, 54]),
        (0, 1, 2, [0, 0]),
    ],
)
def test_by_hand(first: int, last: int, count: int, wanted: list[int]) -> None:
    assert sample_frames(first, last, count) == wanted


@given(st.integers(0, 1000), st.integers(1, 3000), st.integers(1, 32))
def test_always_inside_in_order_and_complete(first: int, length: int, count: int) -> None:
    indices = sample_frames(first, first + length, count)
    assert len(indices) == count
    assert indices == sorted(indices)
    assert first <= indices[0] and indices[-1] < first + length
    assert len(set(indices)) == min(count, length)
    bounds = np.linspace(first, first + length, min(count, length) + 1).astype(int)
    for index, lo, hi in zip(indices, bounds, bounds[1:], strict=False):
        assert index == (lo + hi - 1) // 2


def test_ranges_in_seconds() -> None:
    times = [n / 25 for n in range(100)]
    assert frame_range(times, 1 / 25, None, None) == (0, 100)
    assert frame_range(times, 1 / 25, 1.0, 3.0) == (25, 75)
    assert frame_range(times, 1 / 25, 1.03, 3.03) == (25, 75)
    assert frame_range(times, 1 / 25, 1.0, 30.0) == (25, 100)
    assert frame_range(times, 1 / 25, 3.97, 4.0) == (99, 100)
    for start, end in ((4.0, 5.0), (1.0, 1.03)):
        with pytest.raises(ClipError, match="no frame between") as error:
            frame_range(times, 1 / 25, start, end)
        assert error.value.reason == "too_short"


def test_ranges_in_seconds_of_a_variable_rate() -> None:
    """The frame that is shown at ``start`` is in, the one that is shown at ``end`` is not."""
    times = [0.0, 0.1, 0.5, 0.6, 2.0]
    assert frame_range(times, 1.0, 0.5, 2.0) == (2, 4)
    assert frame_range(times, 1.0, 0.4, 1.9) == (1, 3)
    assert frame_range(times, 1.0, 0.4, 2.9) == (1, 4)
    assert frame_range(times, 1.0, 0.4, 3.0) == (1, 5)

"""Frame sampling, by the rule and by examples worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structalign.extract.video.errors import ClipError
from structalign.extract.video.sampling import choose_frames, frame_range, sample_frames


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


VARIABLE = [*(n / 20 for n in range(20)), *(1 + n / 2 for n in range(10))]  # six seconds


def shown_in(times: list[float], second: int, frames: list[int]) -> int:
    return sum(int(times[number]) == second for number in frames)


def test_a_variable_rate_by_number_and_by_time() -> None:
    """By number most frames are of the second that has most; by time each second has one."""
    by_number = choose_frames(VARIABLE, 0.5, None, None, 6, by_time=False)
    assert shown_in(VARIABLE, 0, by_number) == 4
    by_time = choose_frames(VARIABLE, 0.5, None, None, 6, by_time=True)
    assert [shown_in(VARIABLE, second, by_time) for second in range(6)] == [1] * 6
    assert by_time == [9, 20, 22, 24, 26, 28]  # of two frames that meet at a middle the earlier


@given(st.sampled_from([8, 12.5, 25, 30000 / 1001, 60]), st.integers(1, 900), st.integers(1, 32))
def test_a_constant_rate_by_number_and_by_time(rate: float, frames: int, count: int) -> None:
    times = [n / rate for n in range(frames)]
    by_number = choose_frames(times, 1 / rate, None, None, count, by_time=False)
    by_time = choose_frames(times, 1 / rate, None, None, count, by_time=True)
    if frames % count == 0:
        assert by_time == by_number
    if frames >= count:
        assert {b - a for a, b in zip(by_number, by_time, strict=True)} <= {0, 1}
        assert len(set(by_time)) == count
    assert by_time == sorted(by_time) and 0 <= by_time[0] <= by_time[-1] < frames


def test_a_frame_that_is_shown_for_long_stands_several_times() -> None:
    assert choose_frames([0.0, 4.0, 5.0], 1.0, None, None, 6, by_time=True) == [0, 0, 0, 0, 1, 2]
    assert choose_frames([0.0, 4.0, 5.0], 1.0, None, None, 6, by_time=False) == [0, 1, 2, 2, 2, 2]


def test_a_part_of_a_video_by_time() -> None:
    """Of what is shown between ``start`` and ``end``, which are clamped to the video."""
    times = [0.0, 0.1, 0.5, 0.6, 2.0]
    assert choose_frames(times, 1.0, 0.5, 2.0, 3, by_time=True) == [3, 3, 3]
    assert choose_frames(times, 1.0, 0.4, 0.6, 2, by_time=True) == [1, 2]
    assert choose_frames(times, 1.0, 0.05, None, 4, by_time=True) == [1, 3, 3, 4]
    assert choose_frames(times, 1.0, 1.9, 99, 2, by_time=True) == [4, 4]
    assert choose_frames(times, 1.0, 0.5, 0.5000001, 2, by_time=True) == [2, 2]
    for start, end in ((3.0, 4.0), (2.0, 2.0)):
        with pytest.raises(ClipError, match="no frame between") as error:
            choose_frames(times, 1.0, start, end, 2, by_time=True)
        assert error.value.reason == "too_short"

"""Frame sampling: which frames represent a clip."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from .errors import ClipError

TIE = 1e-6  # seconds: rounding of times must not decide between two frames


def choose_frames(
    times: Sequence[float],
    last: float,
    start: float | None,
    end: float | None,
    count: int,
    by_time: bool,
) -> list[int]:
    """The numbers of the ``count`` frames that represent a clip, ascending.

    ``by_time`` cuts the clip into ``count`` intervals of one length and takes the frame shown at
    the middle of each, so a frame that is shown for long may stand several times; of two frames
    that meet there it takes the earlier. Else the intervals have one number of frames each. At a
    constant rate both choose the same frames where the clip's number of frames is a multiple of
    ``count``, and else by time the same or the next one.

    Args:
        times, last, start, end: as for ``frame_range``.
        count: how many frames.
        by_time: else by number, as ``sample_frames`` does.

    Raises:
        ClipError: ``too_short`` when no frame lies inside.
    """
    if not by_time:
        return sample_frames(*frame_range(times, last, start, end), count)
    begin, until = max(start or 0.0, 0.0), times[-1] + last
    until = until if end is None else min(end, until)
    if until <= begin:
        raise _too_short(times, last, start, end)
    shown_first, step = bisect_right(times, begin) - 1, (until - begin) / count
    middles = (begin + (number + 0.5) * step for number in range(count))
    return [max(shown_first, bisect_left(times, middle - TIE) - 1) for middle in middles]


def frame_range(
    times: Sequence[float], last: float, start: float | None, end: float | None
) -> tuple[int, int]:
    """The range [first, last) of a clip's frames.

    It begins with the frame that is shown at ``start`` and ends before the one that is shown at
    ``end``; at a constant rate that is [int(start * fps), int(end * fps)), clamped to the video.

    Args:
        times: display times of all frames in seconds, from 0 at the first.
        last: seconds for which the last frame is shown.
        start: seconds, None for the beginning.
        end: seconds, None for the end.

    Raises:
        ClipError: ``too_short`` when no frame lies inside.
    """
    length = times[-1] + last
    first, behind = (
        0 if start is None or start <= 0 else bisect_right(times, start) - 1,
        len(times) if end is None or end >= length else bisect_right(times, end) - 1,
    )
    if behind <= first or (start is not None and start >= length):
        raise _too_short(times, last, start, end)
    return first, behind


def _too_short(
    times: Sequence[float], last: float, start: float | None, end: float | None
) -> ClipError:
    return ClipError(
        "too_short",
        f"no frame between {start} s and {end} s; "
        f"the video shows {len(times)} frames in {times[-1] + last:.2f} s",
    )


def sample_frames(first: int, last: int, count: int) -> list[int]:
    """Choose ``count`` frame indices out of [first, last): the middles of equal intervals.

    The bounds are ``linspace(first, last, count + 1)`` truncated to integers, and an interval
    [lo, hi) gives ``(lo + hi - 1) // 2``. With fewer frames than ``count`` every frame is taken
    once and the last one repeats.
    """
    distinct = min(count, last - first)
    bounds = np.linspace(first, last, distinct + 1).astype(int)
    middles = (bounds[:-1] + bounds[1:] - 1) // 2
    return [*middles.tolist(), *[int(middles[-1])] * (count - distinct)]

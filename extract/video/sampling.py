"""Frame sampling: which frames represent a clip."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from .errors import ClipError


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
        raise ClipError(
            "too_short",
            f"no frame between {start} s and {end} s; "
            f"the video shows {len(times)} frames in {length:.2f} s",
        )
    return first, behind


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

"""Frame sampling: which frames of a clip are encoded."""

import numpy as np

from .errors import ClipError


def frame_range(
    frame_count: int, fps: float, start: float | None, end: float | None
) -> tuple[int, int]:
    """A clip's frames as [first, last): [int(start * fps), int(end * fps)), inside the video.

    Raises:
        ClipError: ``too_short`` when no frame lies inside.
    """
    first = 0 if start is None else int(start * fps)
    last = frame_count if end is None else min(int(end * fps), frame_count)
    if last <= first:
        raise ClipError(
            "too_short",
            f"no frame between {start} s and {end} s; "
            f"the video has {frame_count} frames at {fps:.2f} per second",
        )
    return first, last


def sample_frames(first: int, last: int, count: int) -> list[int]:
    """``count`` frame indices out of [first, last).

    The middle of each of ``count`` equal integer intervals.

    The intervals come from ``linspace(first, last, count + 1)`` cut to integers, and each gives
    ``(lo + hi - 1) // 2``. With fewer frames than ``count`` every frame is taken once and the last
    is repeated.
    """
    distinct = min(count, last - first)
    bounds = np.linspace(first, last, distinct + 1).astype(int)
    middles = (bounds[:-1] + bounds[1:] - 1) // 2
    return [*middles.tolist(), *[int(middles[-1])] * (count - distinct)]

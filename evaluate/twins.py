"""The demo world's own metric: captions that prefer their clip to its motion twin."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..cache.catalog import Clip

if TYPE_CHECKING:
    from torch import Tensor


def told_apart(
    scores: "Tensor", target: "Tensor", clips: Sequence[tuple[str, Clip]]
) -> dict[str, float] | None:
    """Of the captions whose clip has its motion twin among ``clips``, the share that prefers it.

    The twin is the same clip played backwards; half is chance, and a tie counts half.

    Args:
        scores: float [T, V].
        target: int64 [T], the right column of each row.
        clips: each column's cache (fingerprint) and clip; ids may repeat between caches.

    Returns:
        ``captions`` (their number) and ``told_apart`` in percent; None where no clip has a twin.
    """
    column = {(cache, clip.id): index for index, (cache, clip) in enumerate(clips)}
    own = [clips[index] for index in target.tolist()]
    twins = [(cache, clip.extra.get("twin", "")) for cache, clip in own]
    rows = [row for row, twin in enumerate(twins) if twin in column]
    if not rows:
        return None
    other = [column[twins[row]] for row in rows]
    gap = scores[rows, target[rows]] - scores[rows, other]
    preferred = ((gap > 0).double() + 0.5 * (gap == 0).double()).mean() * 100
    return {"captions": len(rows), "told_apart": float(preferred)}

"""The registry of metrics: one row each, read by results, console, report and sweep.

It loads no torch: a finished run's figures are printed within a second.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cache.catalog import Clip

if TYPE_CHECKING:
    from torch import Tensor


def mean(scores: "Tensor") -> "Tensor":
    """Of all queries; it can be split up by query."""
    return scores.mean()


@dataclass(frozen=True)
class Metric:
    """A row of the registry: ``scale`` times a summary of what each query's rank scores.

    ``score`` takes expected 1-based ranks to what each query scores, both float64 [Q];
    ``summarise`` takes these to one; ``digits`` after the decimal point stand in tables.
    """

    name: str
    score: "Callable[[Tensor], Tensor]"
    is_higher_better: bool = True
    digits: int = 1
    scale: float = 100.0
    summarise: "Callable[[Tensor], Tensor]" = mean

    def __call__(self, ranks: "Tensor") -> float:
        """The metric of some queries' ranks, float64 [Q]."""
        return float(self.summarise(self.score(ranks)) * self.scale)

    @property
    def key(self) -> str:
        """In the ``matrix`` of ``results.json``: R@1 is ``r1``."""
        return self.name.lower().replace("@", "")

    @property
    def title(self) -> str:
        """At the head of a table's column, with the direction that is better."""
        return f"{self.name} {'↑' if self.is_higher_better else '↓'}"

    def format(self, value: float | None) -> str:
        """A value in a table; empty where it was not measured."""
        return "" if value is None else f"{value:.{self.digits}f}"


def recall(k: int) -> "Callable[[Tensor], Tensor]":
    """1 for each query whose right answer is among the first k, else 0."""
    return lambda ranks: (ranks <= k).double()


METRICS = (
    Metric("R@1", recall(1), digits=2),
    Metric("R@5", recall(5)),
    Metric("R@10", recall(10)),
    Metric("MedR", lambda ranks: ranks, False, scale=1, summarise=lambda r: r.quantile(0.5)),
    Metric("MeanR", lambda ranks: ranks, is_higher_better=False, scale=1),
    Metric("nDCG@10", lambda ranks: (ranks <= 10) / (1 + ranks).log2()),  # one relevant clip
)


@dataclass(frozen=True)
class ScoreMetric:
    """A figure of a stage's scores, over the clips of a dataset that brings it.

    ``function`` takes scores [T, V], targets int64 [T], and each column's cache (fingerprint: ids
    may repeat) and clip to values by name, or None where no clip has what it needs. ``value``
    stands in a sweep's column, ``sentence`` in the printed table.
    """

    name: str
    function: "Callable[[Tensor, Tensor, Sequence[tuple[str, Clip]]], Mapping[str, float] | None]"
    value: str
    sentence: str


def told_apart(
    scores: "Tensor", target: "Tensor", clips: Sequence[tuple[str, Clip]]
) -> dict[str, float] | None:
    """Of the captions whose clip has its motion twin among ``clips``, the share that prefers it.

    The twin is the same clip of the demo world played backwards; half is chance, and a tie counts
    half. ``told_apart`` is in percent; None where no clip has a twin.
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


SCORE_METRICS = (
    ScoreMetric(
        "twins", told_apart, "told_apart",
        "motion twins told apart: {told_apart:.1f}% of {captions} (chance 50)",
    ),
)  # fmt: skip

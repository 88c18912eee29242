"""Paired bootstrap intervals of runs' figures, over queries and over seeds.

Every figure is a sum over queries of what each contributes, so a resampled figure is a weighted sum
(Efron and Tibshirani 1993, chapters 8 and 13). Queries are resampled within each category, runs
within each cache; methods that are compared share both draws.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import StructAlignError
from .metrics import METRICS, mean
from .query_results import QueryResult, read_query_results

DRAWS, LEVEL = 2000, 0.95
COUNTS = 40_000_000  # draws times queries that are kept at once: 320 MB
BWF = "BWF"
AVERAGES = [metric for metric in METRICS if metric.summarise is mean]


@dataclass(frozen=True)
class Outcomes:
    """What each query of a finished run (a clip, and the number of its caption) contributes.

    ``figures``: contributions by figure, float64 [Q], whose sum is the figure.
    """

    queries: tuple[tuple[str, int], ...]
    categories: tuple[str, ...]
    figures: dict[str, Tensor]


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its 95% interval."""

    value: float
    low: float
    high: float


def read_outcomes(run: Path, tasks: Sequence[Sequence[str]]) -> Outcomes:
    """The outcomes at the end of a run: every metric that is a mean over queries, and BWF.

    BWF counts a task by its number of categories (``tasks``), as the benchmark does: query q of
    task i < T adds 100 n_i / N_i (hit just after task i - hit after task T) / sum of all old n.
    Raises StructAlignError: the run has no query results, or they are damaged.
    """
    last = len(tasks)
    now = read_query_results(run, last)
    if not now:
        raise StructAlignError(
            f"run {run} has no rank of each caption; 'eval --again {run}' adds them"
        )
    ranks = torch.tensor(
        [math.inf if result.rank_seen is None else result.rank_seen for result in now],
        dtype=torch.float64,
    )
    figures = {m.name: m.scale * m.score(ranks) / len(now) for m in AVERAGES}
    figures[BWF] = torch.tensor(_forgotten(run, tasks, now), dtype=torch.float64)
    captions = defaultdict[str, Iterator[int]](itertools.count)
    queries = [(result.clip, next(captions[result.clip])) for result in now]
    order = sorted(range(len(now)), key=lambda index: queries[index])
    return Outcomes(
        tuple(queries[index] for index in order),
        tuple(now[index].category for index in order),
        {name: values[order] for name, values in figures.items()},
    )


def _forgotten(
    run: Path, tasks: Sequence[Sequence[str]], now: Sequence[QueryResult]
) -> list[float]:
    """What each query at the end contributes to BWF, task by task."""
    old = sum(len(names) for names in tasks[:-1])
    lost: list[float] = []
    for task, names in enumerate(tasks, 1):
        after = _of_task(now, task)
        if task == len(tasks) or not old:
            lost += [0.0] * len(after)
            continue
        before = _of_task(read_query_results(run, task), task)
        if [result.clip for result in after] != [result.clip for result in before]:
            raise StructAlignError(f"run {run}: task {task} was measured over other clips at first")
        weight = 100 * len(names) / (len(after) * old)
        pairs = zip(before, after, strict=True)
        lost += [weight * (float(b.rank <= 1) - float(a.rank <= 1)) for b, a in pairs]
    return lost


def _of_task(results: Sequence[QueryResult], task: int) -> list[QueryResult]:
    return [result for result in results if result.task == task]


class PairedBootstrap:
    """Resampled figures of several methods, from outcomes by method, (cache, seed).

    ``draws``: how many samples; with very many queries fewer, at least 200. Raises
    StructAlignError: methods were not run on the same caches, seeds and queries.
    """

    def __init__(
        self,
        runs: Mapping[str, Mapping[tuple[str, str], Outcomes]],
        generator: torch.Generator,
        draws: int = DRAWS,
    ) -> None:
        (name, first), *_ = runs.items()
        queries_of = {m: {k: v.queries for k, v in own.items()} for m, own in runs.items()}
        for method, queries in queries_of.items():
            if queries != queries_of[name]:
                raise StructAlignError(
                    f"{method} and {name} have different runs or queries; a paired bootstrap needs "
                    "the same ones"
                )
        most = max(len(outcomes.queries) for outcomes in first.values())
        draws = min(draws, max(200, COUNTS // most))
        self.runs = runs
        self.caches: dict[str, list[str]] = {}
        for cache, seed in first:
            self.caches.setdefault(cache, []).append(seed)
        self.counts: dict[str, Tensor] = {}
        self.chosen: dict[str, Tensor] = {}
        for cache, seeds in self.caches.items():
            self.counts[cache] = _resample(first[cache, seeds[0]].categories, draws, generator)
            self.chosen[cache] = _resample(["run"] * len(seeds), draws, generator) / len(seeds)

    def interval(self, figure: str, method: str, against: str | None = None) -> Interval:
        """A method's figure, minus that of ``against`` if given: the mean over caches and runs."""
        value, drawn = self._drawn(figure, method)
        if against is not None:
            other, other_drawn = self._drawn(figure, against)
            value, drawn = value - other, drawn - other_drawn
        tail = (1 - LEVEL) / 2
        low, high = torch.quantile(drawn, torch.tensor([tail, 1 - tail], dtype=drawn.dtype))
        return Interval(value, float(low), float(high))

    def _drawn(self, figure: str, method: str) -> tuple[float, Tensor]:
        values, samples = [], []
        for cache, seeds in self.caches.items():
            each = torch.stack([self.runs[method][cache, seed].figures[figure] for seed in seeds])
            values.append(float(each.sum(1).mean()))
            samples.append((self.counts[cache] @ each.T * self.chosen[cache]).sum(1))
        return sum(values) / len(values), torch.stack(samples).mean(0)


def _resample(categories: Sequence[str], draws: int, generator: torch.Generator) -> Tensor:
    """How often each sample draws each query, float64 [draws, Q]; categories keep their sizes."""
    counts = torch.zeros(draws, len(categories), dtype=torch.float64)
    for name in dict.fromkeys(categories):
        own = torch.tensor([i for i, other in enumerate(categories) if other == name])
        drawn = own[torch.randint(len(own), (draws, len(own)), generator=generator)]
        counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
    return counts

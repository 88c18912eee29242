"""Paired bootstrap intervals of runs' figures, over queries and over seeds.

Every figure is a sum over queries of what each contributes, so a resampled figure is a weighted sum
(Efron and Tibshirani 1993, chapters 8 and 13). Queries are resampled within each category, runs
within each cache; methods that are compared share both draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import StructAlignError
from .query_results import QueryResult, read_query_results

DRAWS, LEVEL = 2000, 0.95
COUNTS = 40_000_000  # draws times queries that are kept at once: 320 MB
FIGURES = ("R@1", "R@10", "BWF")


@dataclass(frozen=True)
class Outcomes:
    """What each query of a finished run contributes to a figure, float64 [Q], by figure.

    ``queries`` names them (clip, number of the caption), ``categories`` says where each belongs.
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
    """The outcomes of a run's last task; ``tasks`` are the categories of each of its tasks.

    BWF counts a task by its number of categories, as the benchmark does: query q of task i < T adds
    100 n_i / N_i (hit just after task i - hit after task T) / sum of all old n.

    Raises:
        StructAlignError: the run has no answers, since an older version measured it.
    """
    last = len(tasks)
    now = read_query_results(run, last)
    if not now:
        raise StructAlignError(
            f"run {run} does not say what each caption found; 'eval --again {run}' adds it"
        )
    then = {task: _of_task(read_query_results(run, task), task) for task in range(1, last)}
    old = sum(len(names) for names in tasks[:-1])
    count, found = len(now), dict[str, list[float]]()
    for k in (1, 10):
        found[f"R@{k}"] = [
            100 * float(answer.rank_seen is not None and answer.rank_seen <= k) / count
            for answer in now
        ]
    lost: list[float] = []
    for task, names in enumerate(tasks, 1):
        mine = _of_task(now, task)
        if task == last or not old:
            lost += [0.0] * len(mine)
            continue
        if [a.clip for a in mine] != [a.clip for a in then[task]]:
            raise StructAlignError(f"run {run}: task {task} was measured over other clips at first")
        weight = 100 * len(names) / (len(mine) * old)
        pairs = zip(then[task], mine, strict=True)
        lost += [weight * (float(a.rank <= 1) - float(b.rank <= 1)) for a, b in pairs]
    figures = {**found, "BWF": lost}
    seen: dict[str, int] = {}
    names_of = []
    for answer in now:
        seen[answer.clip] = seen.get(answer.clip, -1) + 1
        names_of.append((answer.clip, seen[answer.clip]))
    order = sorted(range(count), key=lambda index: names_of[index])
    return Outcomes(
        tuple(names_of[index] for index in order),
        tuple(now[index].category for index in order),
        {
            name: torch.tensor([values[index] for index in order], dtype=torch.float64)
            for name, values in figures.items()
        },
    )


def _of_task(answers: Sequence[QueryResult], task: int) -> list[QueryResult]:
    return [answer for answer in answers if answer.task == task]


class PairedBootstrap:
    """Resampled figures of several methods over the same caches and seeds.

    Args:
        runs: outcomes by method, cache and seed; every method has the same caches, seeds, queries.
        generator: draws the samples.
        draws: how many samples; fewer, but 200, where there are very many queries.

    Raises:
        StructAlignError: methods were not run on the same caches, seeds and queries.
    """

    def __init__(
        self,
        runs: Mapping[str, Mapping[tuple[str, str], Outcomes]],
        generator: torch.Generator,
        draws: int = DRAWS,
    ) -> None:
        first = next(iter(runs.values()))
        for method, found in runs.items():
            if {k: v.queries for k, v in found.items()} != {k: v.queries for k, v in first.items()}:
                raise StructAlignError(
                    f"{method} has not the runs and queries of {next(iter(runs))}: "
                    "paired intervals compare the same ones"
                )
        queries = max(len(outcomes.queries) for outcomes in first.values())
        draws = min(draws, max(200, COUNTS // queries))
        self.runs = runs
        self.caches: dict[str, list[str]] = {}
        for cache, seed in first:
            self.caches.setdefault(cache, []).append(seed)
        self.counts: dict[str, Tensor] = {}
        self.chosen: dict[str, Tensor] = {}
        for cache, seeds in self.caches.items():
            self.counts[cache] = _resample(first[cache, seeds[0]].categories, draws, generator)
            runs_drawn = torch.randint(len(seeds), (draws, len(seeds)), generator=generator)
            shares = torch.zeros(draws, len(seeds), dtype=torch.float64)
            ones = torch.ones_like(runs_drawn, dtype=torch.float64)
            self.chosen[cache] = shares.scatter_add_(1, runs_drawn, ones) / len(seeds)

    def interval(self, figure: str, method: str, against: str | None = None) -> Interval:
        """A method's figure, or its difference to another method's: mean over caches and runs."""
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
    """How often each query is drawn in each sample, float64 [draws, Q]; categories keep sizes."""
    counts = torch.zeros(draws, len(categories), dtype=torch.float64)
    for name in dict.fromkeys(categories):
        own = torch.tensor([i for i, other in enumerate(categories) if other == name])
        drawn = own[torch.randint(len(own), (draws, len(own)), generator=generator)]
        counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
    return counts

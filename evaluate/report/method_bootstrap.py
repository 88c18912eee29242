"""Bootstrap intervals of a report: each method over its own runs, two methods over common runs."""

import torch

from ...core.errors import StructAlignError
from ..bootstrap import Interval, Outcomes, PairedBootstrap, read_outcomes
from .run_groups import RunGroups

RunKey = tuple[str, str]  # cache and seed
Queries = tuple[tuple[tuple[str, int], ...], ...]  # of each run


class MethodBootstrap:
    """95% bootstrap intervals of the methods of a report.

    ``unknown`` says, by method, why it has none.
    """

    def __init__(self, groups: RunGroups) -> None:
        self.unknown: dict[str, str] = {}
        self._outcomes: dict[str, dict[RunKey, Outcomes]] = {}
        self._drawn: dict[tuple[tuple[RunKey, ...], Queries], PairedBootstrap] = {}
        for method, runs in groups.by_method.items():
            try:
                keys = [(run.identity["cache"], str(run.config["seed"])) for run in runs]
                outcomes = [read_outcomes(run.path, run.results["categories"]) for run in runs]
                self._outcomes[method] = dict(zip(keys, outcomes, strict=True))
            except StructAlignError as error:
                self.unknown[method] = str(error)

    def interval(self, figure: str, method: str) -> Interval | None:
        """The interval of a method's figure over all of its runs; None where it is unknown."""
        if method in self.unknown:
            return None
        keys = tuple(sorted(self._outcomes[method]))
        return self._bootstrap(keys, method).interval(figure, method)

    def common(self, method: str, other: str) -> tuple[RunKey, ...]:
        """The runs that both methods have, over the same captions."""
        mine, theirs = (self._outcomes.get(name, {}) for name in (method, other))
        both = sorted(mine.keys() & theirs.keys())
        return tuple(key for key in both if mine[key].queries == theirs[key].queries)

    def difference(self, figure: str, method: str, other: str) -> Interval | None:
        """A method's figure minus another's over their common runs; None if there are none."""
        keys = self.common(method, other)
        return self._bootstrap(keys, method).interval(figure, method, other) if keys else None

    def _bootstrap(self, keys: tuple[RunKey, ...], method: str) -> PairedBootstrap:
        """Samples, drawn once, of every method that shares these runs with ``method``."""
        queries = tuple(self._outcomes[method][key].queries for key in keys)
        if (keys, queries) not in self._drawn:
            runs = {
                name: {key: outcomes[key] for key in keys}
                for name, outcomes in self._outcomes.items()
                if set(keys) <= set(self.common(name, method))
            }
            self._drawn[keys, queries] = PairedBootstrap(runs, torch.Generator().manual_seed(0))
        return self._drawn[keys, queries]

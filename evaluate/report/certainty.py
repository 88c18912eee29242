"""How sure a report's figures are: every method over its own runs, two methods over common ones."""

import torch

from ...core.errors import StructAlignError
from ..intervals import Interval, Outcomes, PairedBootstrap, read_outcomes
from .layout import Groups

Place = tuple[str, str]  # cache and seed
Queries = tuple[tuple[tuple[str, int], ...], ...]  # of each place


class Certainty:
    """95% bootstrap intervals of the methods of a report.

    ``unknown`` says, by method, why there are none.
    """

    def __init__(self, groups: Groups) -> None:
        self.unknown: dict[str, str] = {}
        self._outcomes: dict[str, dict[Place, Outcomes]] = {}
        self._made: dict[tuple[tuple[Place, ...], Queries], PairedBootstrap] = {}
        for method, runs in groups.items():
            try:
                self._outcomes[method] = {
                    (run.identity["cache"], str(run.config["seed"])): read_outcomes(
                        run.path, run.results["categories"]
                    )
                    for run in runs
                }
            except StructAlignError as error:
                self.unknown[method] = str(error)

    def interval(self, figure: str, method: str) -> Interval | None:
        """Of a method's figure, over all of its runs."""
        if method in self.unknown:
            return None
        places = tuple(sorted(self._outcomes[method]))
        return self._over(places, method).interval(figure, method)

    def common(self, method: str, other: str) -> tuple[Place, ...]:
        """Where both were run, on the same captions."""
        mine, theirs = (self._outcomes.get(name, {}) for name in (method, other))
        return tuple(
            place
            for place in sorted(mine.keys() & theirs.keys())
            if mine[place].queries == theirs[place].queries
        )

    def difference(self, figure: str, method: str, other: str) -> Interval | None:
        """Of a method's figure minus another's, over the runs that both have."""
        places = self.common(method, other)
        if not places:
            return None
        return self._over(places, method).interval(figure, method, other)

    def _over(self, places: tuple[Place, ...], method: str) -> PairedBootstrap:
        """Of all methods with the runs of ``method`` at these places, drawn once."""
        queries = tuple(self._outcomes[method][place].queries for place in places)
        if (places, queries) not in self._made:
            runs = {
                name: {place: found[place] for place in places}
                for name, found in self._outcomes.items()
                if set(places) <= set(self.common(name, method))
            }
            self._made[places, queries] = PairedBootstrap(runs, torch.Generator().manual_seed(0))
        return self._made[places, queries]

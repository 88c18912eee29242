"""The runs of a report, grouped by method: runs that differ in nothing but the seed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import StructAlignError
from .charts import Line
from .finished_runs import FinishedRun
from .formatting import mean

Read = Callable[[FinishedRun, int], float | None]  # a figure of a run at a task or stage


@dataclass(frozen=True)
class RunGroups:
    """Runs by the name of their method, at least one of each."""

    by_method: Mapping[str, Sequence[FinishedRun]]

    @property
    def first(self) -> Mapping[str, Any]:
        """Results of the first run, whose task stream is the page's."""
        return next(iter(self.by_method.values()))[0].results

    @property
    def tasks(self) -> range:
        """Task numbers from 1 on."""
        return range(1, self.first["tasks"] + 1)

    @property
    def runs(self) -> list[FinishedRun]:
        """Every run, method by method."""
        return [run for runs in self.by_method.values() for run in runs]

    @property
    def continual(self) -> "RunGroups":
        """The methods that learn more than one task."""
        several = {name: runs for name, runs in self.by_method.items() if runs[0].tasks > 1}
        return RunGroups(several)

    def means(self, indices: Iterable[int], read: Read) -> dict[str, Line]:
        """By method: the mean over its runs of a figure at each of the tasks or stages."""
        numbers = list(indices)
        return {
            method: [mean([read(run, number) for run in runs]) for number in numbers]
            for method, runs in self.by_method.items()
        }

    def task_names(self, method: str | None = None) -> list[str]:
        """Each task by its categories, or by its number where the runs (of a method) disagree."""
        runs = self.runs if method is None else self.by_method[method]
        longest = max(run.tasks for run in runs)
        streams = [run.results["categories"] for run in runs if run.tasks == longest]
        if any(stream != streams[0] for stream in streams):
            return [f"task {number}" for number in range(1, longest + 1)]
        return [_joined(names) for names in streams[0]]


def group_runs(runs: Sequence[FinishedRun]) -> RunGroups:
    """Group runs by everything but the seed.

    A group is named after its method and, where a method has several groups, after what sets them
    apart. Raises StructAlignError: a run is there twice, as itself or as a copy.
    """
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        group = groups.setdefault(json.dumps(run.identity, sort_keys=True), [])
        if twin := next((o for o in group if o.config["seed"] == run.config["seed"]), None):
            raise StructAlignError(
                f"{twin.path} and {run.path} are the same run ({run.name}); name one of them"
            )
        group.append(run)
    identities = [group[0].identity for group in groups.values()]
    named = {}
    for identity, group in zip(identities, groups.values(), strict=True):
        method = identity["method"]
        alike = [other for other in identities if other["method"] == method]
        apart = [key for key in identity if any(o.get(key) != identity[key] for o in alike)]
        difference = ", ".join(f"{key}={identity[key]}" for key in apart)
        named[f"{method} ({difference})" if difference else method] = group
    return RunGroups(named)


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"

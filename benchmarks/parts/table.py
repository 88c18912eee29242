"""The rows and the table of benchmarks, and the clock that they share."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median

import torch

from ...core.console import text_table


@dataclass(frozen=True)
class Row:
    """A stage's rate, the limit measured in the same run, and the ratio of the two.

    ``ratio`` is at most about 1 against a limit, and the speed-up against a baseline; ``target``
    is the ratio to reach.
    """

    stage: str
    rate: str
    limit: str
    ratio: float
    target: float


def print_rows(rows: list[Row]) -> None:
    """Print rows as JSON on stdout, for ``python -m structalign.benchmarks`` to read."""
    json.dump([asdict(row) for row in rows], sys.stdout)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, until the GPU has finished its work."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def in_turn(rounds: int, works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of several works, run in turn so that machine drift affects all alike.

    Every other round runs backwards, so that no work always follows the same one. A round before
    the first is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name in list(works) if turn % 2 else reversed(list(works)):
            taken = seconds(works[name])
            if turn:
                times[name].append(taken)
    return {name: median(values) for name, values in times.items()}


def table(rows: list[Row]) -> str:
    """The rows as an aligned text table."""
    cells = [("stage", "measured", "against, in the same run", "ratio", "target", "")]
    cells += [
        (
            r.stage,
            r.rate,
            r.limit,
            f"{r.ratio:.2f}",
            f"{r.target:.2f}",
            "" if r.ratio >= r.target else "missed",
        )
        for r in rows
    ]
    return text_table(cells)

"""What a benchmark tells.

A stage's rate, the limit measured in the same run, and the ratio of the two.
"""

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
    """``ratio`` is how near the limit (at most about 1), or how many times the baseline.

    ``target`` is what it should reach.
    """

    stage: str
    rate: str
    limit: str
    ratio: float
    target: float


def print_rows(rows: list[Row]) -> None:
    """Hand rows to the process that asked for them: JSON on stdout."""
    json.dump([asdict(row) for row in rows], sys.stdout)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, to the end of what it asked of a GPU."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def in_turn(rounds: int, works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of several works, run in turn so that all meet the same machine, every other
    round backwards so that none always comes after the same; one round before is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name in list(works) if turn % 2 else reversed(list(works)):
            taken = seconds(works[name])
            if turn:
                found[name].append(taken)
    return {name: median(values) for name, values in found.items()}


def table(rows: list[Row]) -> str:
    """Rows as text."""
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

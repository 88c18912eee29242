"""Numbers as text: decimals, the mean and spread over runs, intervals."""

from collections.abc import Sequence
from statistics import fmean, stdev

from ..bootstrap import Interval


def number(value: float | None, digits: int = 1) -> str:
    """A number with a typographic minus sign; empty for None."""
    return "" if value is None else f"{value:.{digits}f}".replace("-", "−")


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that were measured; None if there are none."""
    measured = [value for value in values if value is not None]
    return fmean(measured) if measured else None


def spread(values: Sequence[float | None], digits: int = 1) -> str:
    """Mean ± sample standard deviation of the values that were measured."""
    measured = [value for value in values if value is not None]
    deviation = f" ± {stdev(measured):.{digits}f}" if len(measured) > 1 else ""
    return f"{number(mean(measured), digits)}{deviation}"


def bounds(interval: Interval, digits: int = 1) -> str:
    """The two ends of an interval, in brackets."""
    return f"[{number(interval.low, digits)}, {number(interval.high, digits)}]"


def with_bounds(values: Sequence[float | None], interval: Interval | None, digits: int = 1) -> str:
    """The mean of the values, followed by its interval where there is one."""
    average = number(mean(values), digits)
    return f"{average} {bounds(interval, digits)}" if average and interval else average

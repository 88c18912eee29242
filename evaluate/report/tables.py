"""HTML tables; every cell is escaped."""

from collections.abc import Sequence
from html import escape
from statistics import fmean, stdev


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """First column left, the others right, in a frame that scrolls on a narrow screen."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def number(value: float | None, digits: int = 1) -> str:
    """A figure, or nothing."""
    return "" if value is None else f"{value:.{digits}f}".replace("-", "−")


def spread(values: Sequence[float | None], digits: int = 1) -> str:
    """Mean ± sample standard deviation of what was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return number(fmean(known), digits) + (
        f" ± {stdev(known):.{digits}f}" if len(known) > 1 else ""
    )


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of what was measured."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None

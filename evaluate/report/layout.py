"""Parts of the page: sections, and figures with their numbers below them."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from .figures import Line, heat_map, line_chart
from .finished_runs import FinishedRun
from .tables import html_table, mean, number

Groups = dict[str, list[FinishedRun]]
Read = Callable[[FinishedRun, int], float | None]


def section(title: str, text: str, *parts: str) -> str:
    """A section, unless it has nothing to show."""
    shown = "".join(parts)
    return f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>{shown}</section>" * bool(shown)


def figure(svg: str, caption: str, table: str) -> str:
    """A drawing with its caption, its numbers folded away below."""
    shown = f"<details><summary>Numbers</summary>{table}</details>"
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>{shown}" * bool(svg)


def means(groups: Groups, places: Sequence[int], read: Read) -> dict[str, Line]:
    """A line a method: the mean over its runs of a figure at each place."""
    return {
        method: [mean([read(run, place) for run in runs]) for place in places]
        for method, runs in groups.items()
    }


def line_figure(
    title: str, series: Mapping[str, Line], names: Sequence[str], axes: tuple[str, str],
    caption: str, digits: int = 2, more: str = "", reference: tuple[str, Line] | None = None,
) -> str:  # fmt: skip
    """A chart with a line a method, and its numbers."""
    lines = {**series, **({reference[0]: reference[1]} if reference else {})}
    rows = [[n, *(number(line[i], digits) for line in lines.values())] for i, n in enumerate(names)]
    table = more + html_table([axes[0], *lines], rows)
    return figure(line_chart(title, series, names, *axes, reference), caption, table)


def heat_figure(
    title: str, rows: Sequence[Line], names: Sequence[str], columns: Sequence[str], caption: str,
    digits: int = 0,
) -> str:  # fmt: skip
    """A matrix as colours, and its numbers."""
    cells = [
        [name, *(number(value, digits or 1) for value in row)]
        for name, row in zip(names, rows, strict=True)
    ]
    svg = heat_map(title, rows, names, columns, digits)
    return figure(svg, caption, html_table(["", *columns], cells))


def cell(run: FinishedRun, stage: int, task: int) -> float | None:
    """R@1 within a task (from 1) at a stage; None where the stream was shorter."""
    matrix = run.results["matrix"]["r1"]
    return matrix[stage][task - 1] if stage < len(matrix) and task <= len(matrix[0]) else None


def task_numbers(first: Mapping[str, Any]) -> range:
    """From 1 to the last task of a run's results."""
    return range(1, first["tasks"] + 1)

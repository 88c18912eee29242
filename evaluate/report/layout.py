"""Parts of the page: sections, contents, and figures with their numbers below them."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from .charts import Line, bar_chart, heat_map, line_chart
from .finished_runs import FinishedRun
from .tables import html_table, mean, number

Groups = dict[str, list[FinishedRun]]
Read = Callable[[FinishedRun, int], float | None]


def section(title: str, text: str, *parts: str) -> str:
    """A section, unless it has nothing to show."""
    shown = "".join(parts)
    head = f'<section id="{_anchor(title)}"><h2>{escape(title)}</h2>'
    return f"{head}<p>{escape(text)}</p>{shown}</section>" * bool(shown)


def contents(sections: Sequence[str]) -> str:
    """Links to the sections that are there."""
    titles = [re.findall(r"<h2>(.*?)</h2>", one)[0] for one in sections if one]
    links = "".join(f'<li><a href="#{_anchor(title)}">{title}</a></li>' for title in titles)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def grid(*figures: str, kind: str = "") -> str:
    """Figures side by side where the page is wide enough."""
    shown = "".join(figures)
    return f'<div class="grid {kind}">{shown}</div>' * bool(shown)


def figure(svg: str, caption: str, table: str = "") -> str:
    """A drawing with its caption, its numbers folded away below."""
    folded = f"<details><summary>Numbers</summary>{table}</details>" * bool(table)
    return f"<figure>{svg}<figcaption>{escape(caption)}{folded}</figcaption></figure>" * bool(svg)


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
    table = more + _by_place(axes[0], lines, names, digits)
    return figure(line_chart(title, series, names, *axes, reference), caption, table)


def bar_figure(
    title: str, series: Mapping[str, Line], things: Sequence[str], axes: tuple[str, str],
    caption: str, digits: int = 2,
) -> str:  # fmt: skip
    """A chart with a bar a method and thing, and its numbers."""
    table = _by_place(axes[0], series, things, digits)
    return figure(bar_chart(title, series, things, axes[1]), caption, table)


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


def _by_place(place: str, lines: Mapping[str, Line], names: Sequence[str], digits: int) -> str:
    rows = [[n, *(number(line[i], digits) for line in lines.values())] for i, n in enumerate(names)]
    return html_table([place, *lines], rows)


def cell(run: FinishedRun, stage: int, task: int) -> float | None:
    """R@1 within a task (from 1) at a stage; None where the stream was shorter."""
    matrix = run.results["matrix"]["r1"]
    return matrix[stage][task - 1] if stage < len(matrix) and task <= len(matrix[0]) else None


def lost(run: FinishedRun, task: int, stage: int) -> float | None:
    """Points of R@1 within ``task`` that are gone at ``stage``; None where not measured."""
    then, now = cell(run, task, task), cell(run, stage, task)
    return None if then is None or now is None or task >= stage else then - now


def task_numbers(first: Mapping[str, Any]) -> range:
    """From 1 to the last task of a run's results."""
    return range(1, first["tasks"] + 1)


def task_names(groups: Groups) -> list[str]:
    """Each task by its categories; by its number where runs have other ones in its place."""
    runs = [run.results for runs in groups.values() for run in runs]
    longest = max(one["tasks"] for one in runs)
    streams = [one["categories"] for one in runs if one["tasks"] == longest]
    if any(stream != streams[0] for stream in streams):
        return [f"task {number}" for number in range(1, longest + 1)]
    return [_joined(names) for names in streams[0]]


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"

"""What a section of the page holds, as data that the template draws: tables, figures, examples."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .charts import Line, bar_chart, heat_map, line_chart
from .formatting import number


@dataclass(frozen=True)
class Table:
    """Rows of text under column titles."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A chart (SVG text) with its caption; ``numbers`` are folded away below it."""

    chart: str
    caption: str
    numbers: Sequence[Table] = ()


@dataclass(frozen=True)
class Picture:
    """A frame of a clip as base64 of a JPEG file."""

    label: str
    clip: str
    jpeg: str


@dataclass(frozen=True)
class Example:
    """A caption, what the search returned for it, and frames of the clips."""

    caption: str
    is_right: bool
    pictures: Sequence[Picture]
    verdict: str


@dataclass(frozen=True)
class Recipe:
    """The commands that repeat a run, and its whole configuration."""

    run: str
    command: str
    settings: str


@dataclass(frozen=True)
class Section:
    """A title, a paragraph, and what is shown below, in the order of these fields.

    A figure with an empty chart is left out, and so is a section that shows nothing.
    """

    title: str
    text: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    examples: Sequence[Example] = ()
    recipes: Sequence[Recipe] = ()
    has_small_cells: bool = False

    @property
    def anchor(self) -> str:
        """The id that the table of contents links to."""
        return re.sub(r"\W+", "-", self.title.lower())

    @property
    def drawn(self) -> list[Figure]:
        """The figures whose chart is not empty."""
        return [figure for figure in self.figures if figure.chart]

    def __bool__(self) -> bool:
        return bool(self.tables or self.drawn or self.examples or self.recipes)


def line_figure(
    title: str, series: Mapping[str, Line], names: Sequence[str], axes: tuple[str, str],
    caption: str, digits: int = 2, more: Sequence[Table] = (), reference: str | None = None,
) -> Figure:  # fmt: skip
    """A line per method over ``names``, and below it the tables of ``more`` and its numbers."""
    chart = line_chart(title, series, names, *axes, reference)
    return Figure(chart, caption, [*more, _numbers(axes[0], series, names, digits)])


def bar_figure(
    title: str, series: Mapping[str, Line], names: Sequence[str], axes: tuple[str, str],
    caption: str, digits: int = 2,
) -> Figure:  # fmt: skip
    """A bar per method for each of ``names``, and its numbers."""
    chart = bar_chart(title, series, names, axes[1])
    return Figure(chart, caption, [_numbers(axes[0], series, names, digits)])


def heat_figure(
    title: str, rows: Sequence[Line], names: Sequence[str], columns: Sequence[str], caption: str,
    digits: int = 0,
) -> Figure:  # fmt: skip
    """A matrix as colours, and its numbers."""
    cells = [
        [name, *(number(value, digits or 1) for value in row)]
        for name, row in zip(names, rows, strict=True)
    ]
    chart = heat_map(title, rows, names, columns, digits)
    return Figure(chart, caption, [Table(["", *columns], cells)])


def _numbers(title: str, lines: Mapping[str, Line], names: Sequence[str], digits: int) -> Table:
    rows = [
        [name, *(number(line[i], digits) for line in lines.values())]
        for i, name in enumerate(names)
    ]
    return Table([title, *lines], rows)

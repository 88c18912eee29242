"""Charts as SVG text: lines, bars, a scatter plot, a heat map.

They stay readable in print, on a phone, to the colour-blind, and on light and dark pages: series
differ by colour (the palette of Okabe and Ito), dash and marker; axes and text take the colour of
the page. Every name is escaped here. A chart without any value is the empty string.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from statistics import fmean

from .formatting import number

Line = Sequence[float | None]  # None: not measured, drawn as a gap
Points = Sequence[tuple[float, float]]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2", "12 4")
LIGHT_CELL, DARK_CELL = (247, 251, 255), (8, 48, 107)

# All sizes are in units of the drawing, of which a letter of the 12 px font takes up to 6.6.
WIDTH = 440  # about the width of a phone, so that text keeps its size there
LETTER = 6.6
LEGEND_ROW = 18
MARGIN_TOP = 14
BAR, BAR_GAP = 9, 7
CELL_HEIGHT, CELL_FOR_NUMBER = 22, 30
LONGEST_NAME = {"tick": 14, "cell": 18, "bar": 24, "legend": 58}  # letters


def line_chart(
    label: str,
    series: Mapping[str, Line],
    xs: Sequence[str],
    x_label: str,
    y_label: str,
    reference: str | None = None,
) -> str:
    """A line per series over the positions ``xs``, whose names are tilted if any is long.

    ``label`` is what a screen reader says; the series named ``reference`` is a thin grey line.
    """
    values = [y for line in series.values() for y in line if y is not None]
    if not values:
        return ""
    right, height = 12, 226
    bottom = MARGIN_TOP + height
    y = _Axis.over(values, bottom, MARGIN_TOP)
    # Room for the widest number, right of the axis's title.
    left = max(48, 32 + 7.5 * max(len(text) for _, text in y.ticks))
    names = [_short(name, "tick") for name in xs]
    is_tilted = max(map(len, names)) > 4
    if is_tilted:  # tilted names begin left of their positions
        reach = max(0.82 * LETTER * len(name) - i * (WIDTH - left - right) / len(xs)
                    for i, name in enumerate(names))  # fmt: skip
        left = max(left, reach - (WIDTH - left - right) / (2 * len(xs)))
    below = (14 + 0.58 * LETTER * max(map(len, names)) if is_tilted else 16) + 22

    def x(i: int) -> float:
        return left + (WIDTH - left - right) * (i + 0.5) / len(xs)

    parts = _rows_of_grid(y, left, WIDTH - right)
    every = -(-len(xs) // (20 if is_tilted else 12))
    for i, name in list(enumerate(names))[::every]:
        parts.append(
            _text(x(i) + 4, bottom + 14, name, "end", -35)
            if is_tilted
            else _text(x(i), bottom + 16, name, "middle")
        )
    parts.append(_text((left + WIDTH) / 2, bottom + below - 6, x_label, "middle"))
    parts.append(_text(13, MARGIN_TOP + height / 2, y_label, "middle", -90))
    keys = []
    for n, (name, line) in enumerate(series.items()):
        is_reference = name == reference
        colour, dash = ("#888", "3 3") if is_reference else (_colour(n), DASHES[n % len(DASHES)])
        stroke = (
            f'fill="none" stroke="{colour}" stroke-width="{1 if is_reference else 2}" '
            f'stroke-dasharray="{dash}"'
        )
        for stretch in _unbroken(line):
            points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in stretch)
            parts.append(f'<polyline points="{points}" {stroke}/>')
            if not is_reference:
                parts += [_marker(n, x(i), y(value)) for i, value in stretch]
        keys.append(f'<path d="M-14 0h28" {stroke}/>{"" if is_reference else _marker(n, 0, 0)}')
    return _with_legend(label, parts, bottom + below + 12, list(series), keys)


def bar_chart(label: str, series: Mapping[str, Line], names: Sequence[str], x_label: str) -> str:
    """Horizontal bars from 0: a group per name, in it a bar per series."""
    values = [value for bars in series.values() for value in bars if value is not None]
    if not values:
        return ""
    groups = [_short(name, "bar") for name in names]
    top, left = 8, 14 + LETTER * max(map(len, groups))
    x = _Axis.over([0.0, *values], left, WIDTH)
    x = replace(x, end=WIDTH - 6 - 4 * max(len(text) for _, text in x.ticks))
    group_height = BAR * len(series) + BAR_GAP
    bottom = top + group_height * len(groups)
    parts = _columns_of_grid(x, top, bottom)
    parts.append(_text(x.end, bottom + 36, x_label, "end"))
    for i, name in enumerate(groups):
        y = top + group_height * i + BAR_GAP / 2
        parts.append(_text(left - 8, y + BAR * len(series) / 2 + 4, name, "end"))
        for n, bars in enumerate(series.values()):
            if (value := bars[i]) is None:
                continue
            start, end = sorted((x(0), x(value)))
            parts.append(_box(start, y + BAR * n, max(1, end - start), BAR - 1, _colour(n)))
    parts.append(f'<path d="M{x(0):.1f} {top}V{bottom}" stroke="currentColor"/>')
    keys = [_box(-8, -5, 16, 10, _colour(n)) for n in range(len(series))]
    return _with_legend(label, parts, bottom + 56, list(series), keys)


def scatter(label: str, series: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """Points of each series as small markers, their mean as a large one.

    The y axis points down and contains 0: where y is a loss, better is up and to the right.
    """
    points = [point for group in series.values() for point in group]
    if not points:
        return ""
    left, right, height = 56, WIDTH - 14, 250
    bottom = MARGIN_TOP + height
    x = _Axis.over([x for x, _ in points], left, right)
    y = _Axis.over([0.0, *(y for _, y in points)], MARGIN_TOP, bottom)
    parts = [*_columns_of_grid(x, MARGIN_TOP, bottom), *_rows_of_grid(y, left, right)]
    parts.append(f'<path d="M{left} {y(0):.1f}H{right}" stroke="currentColor"/>')
    parts.append(_text((left + WIDTH) / 2, bottom + 36, x_label, "middle"))
    parts.append(_text(13, MARGIN_TOP + height / 2, y_label, "middle", -90))
    for n, group in enumerate(series.values()):
        parts += [f'<g opacity="0.45">{_marker(n, x(a), y(b), 0.7)}</g>' for a, b in group]
        if group:
            mean = fmean(a for a, _ in group), fmean(b for _, b in group)
            parts.append(_marker(n, x(mean[0]), y(mean[1]), 1.8))
    keys = [_marker(n, 0, 0, 1.4) for n in range(len(series))]
    return _with_legend(label, parts, bottom + 58, list(series), keys)


def heat_map(
    label: str,
    rows: Sequence[Line],
    row_names: Sequence[str],
    column_names: Sequence[str],
    digits: int = 0,
) -> str:
    """A matrix as colours from light to dark blue, with its numbers where cells are wide enough.

    None leaves a cell empty; names of columns are tilted where they are wider than a cell.
    """
    values = [value for row in rows for value in row if value is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    down = [_short(name, "cell") for name in row_names]
    across = [_short(name, "cell") for name in column_names]
    left = 12 + LETTER * max(map(len, down))
    cell = max(18, min(52, 440 // max(1, len(across))))
    longest = LETTER * max(map(len, across))
    is_tilted = longest > cell
    top = 16 + (0.65 * longest if is_tilted else 8)
    right = 0.77 * longest if is_tilted else 4
    every = 1 if is_tilted else -(-CELL_FOR_NUMBER // cell)
    parts = []
    for j, name in list(enumerate(across))[::every]:
        middle = left + cell * (j + 0.5)
        anchor, turn = ("start", -40) if is_tilted else ("middle", 0)
        parts.append(_text(middle, top - 6, name, anchor, turn))
    for i, (name, row) in enumerate(zip(down, rows, strict=True)):
        y = top + CELL_HEIGHT * i
        parts.append(_text(left - 6, y + 15, name, "end"))
        for j, value in enumerate(row):
            if value is None:
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            mixed = (round(a + (b - a) * share) for a, b in zip(LIGHT_CELL, DARK_CELL, strict=True))
            colour = f"rgb({','.join(map(str, mixed))})"
            parts.append(_box(left + cell * j, y, cell - 1, CELL_HEIGHT - 1, colour))
            if cell >= CELL_FOR_NUMBER:
                ink = "#fff" if share > 0.5 else "#111"
                middle = left + cell * (j + 0.5)
                parts.append(_text(middle, y + 15, number(value, digits), "middle", ink=ink))
    width = left + cell * len(across) + right
    return _drawing(label, width, top + CELL_HEIGHT * len(rows) + 4, parts)


def standalone(svg: str) -> str:
    """A chart for a file of its own, where no page styles it."""
    style = "<style>text{font:12px sans-serif;fill:#222}.grid{stroke:#ccc}</style>"
    return svg.replace("</svg>", f"{style}</svg>")


def _drawing(label: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _with_legend(
    label: str, parts: Sequence[str], top: float, names: Sequence[str], keys: Sequence[str]
) -> str:
    """The whole chart: ``parts``, then from ``top`` on each name right of its key."""
    legend = []
    for n, (name, key) in enumerate(zip(names, keys, strict=True)):
        y = top + LEGEND_ROW * n
        legend.append(f'<g transform="translate(24 {y:.1f})">{key}</g>')
        legend.append(_text(46, y + 4, _short(name, "legend")))
    return _drawing(label, WIDTH, top + LEGEND_ROW * len(names), [*parts, *legend])


@dataclass(frozen=True)
class _Axis:
    """Takes values to places between ``start`` and ``end``; grid lines are ``step`` apart."""

    low: float
    high: float
    step: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        """Round bounds around the values, and a step that gives up to eight grid lines."""
        low, high = min(values), max(values)
        spread = high - low or abs(high) or 1.0
        step = 10 ** math.floor(math.log10(spread / 4))
        step *= next(m for m in (1, 2, 2.5, 5, 10) if spread / (step * m) <= 6)
        bounds = math.floor(low / step) * step, (math.floor(high / step) + 1) * step
        return cls(*bounds, step, start, end)

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Place and text of each grid line, with as many decimals as the step needs."""
        power = math.floor(math.log10(self.step))
        digits = max(0, -power + (self.step * 10**-power % 1 > 0.01))
        count = round((self.high - self.low) / self.step) + 1
        values = [self.low + k * self.step for k in range(count)]
        return [(self(value), number(value + 0.0, digits)) for value in values]


def _rows_of_grid(axis: _Axis, left: float, right: float) -> list[str]:
    """Horizontal grid lines with their numbers."""
    parts = []
    for y, text in axis.ticks:
        parts += [_rule(left, y, right, y), _text(left - 6, y + 4, text, "end")]
    return parts


def _columns_of_grid(axis: _Axis, top: float, bottom: float) -> list[str]:
    """Vertical grid lines with their numbers."""
    parts = []
    for x, text in axis.ticks:
        parts += [_rule(x, top, x, bottom), _text(x, bottom + 16, text, "middle")]
    return parts


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" class="grid"/>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _text(
    x: float, y: float, words: str, anchor: str = "start", turn: float = 0, ink: str = ""
) -> str:
    """Words at a point, turned by degrees, in the page's colour unless ``ink`` names another."""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    style = f' style="fill:{ink}"' if ink else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}{style}'
    return f"<text {place}>{escape(words)}</text>"


def _marker(n: int, x: float, y: float, size: float = 1) -> str:
    """The marker of series ``n`` in its colour: circle, square, triangle or diamond."""
    r, fill = 3.5 * size, f'fill="{_colour(n)}"/>'
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" {fill}',
        f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}" {fill}',
        f'<path d="M{x:.1f} {y - 1.2 * r:.1f}l{1.2 * r:.1f} {2 * r:.1f}h{-2.4 * r:.1f}z" {fill}',
        f'<path d="M{x:.1f} {y - 1.3 * r:.1f}l{1.3 * r:.1f} {1.3 * r:.1f}l{-1.3 * r:.1f} '
        f'{1.3 * r:.1f}l{-1.3 * r:.1f} {-1.3 * r:.1f}z" {fill}',
    )
    return shapes[n % len(shapes)]


def _colour(n: int) -> str:
    return COLOURS[n % len(COLOURS)]


def _short(name: str, use: str) -> str:
    longest = LONGEST_NAME[use]
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _unbroken(line: Line) -> list[list[tuple[int, float]]]:
    """The stretches of a line between its gaps, as (position, value)."""
    stretches: list[list[tuple[int, float]]] = [[]]
    for i, value in enumerate(line):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((i, value))
    return [stretch for stretch in stretches if stretch]

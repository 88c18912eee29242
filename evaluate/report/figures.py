"""Vector figures as SVG text: readable in print, on a phone, by the colour-blind, light and dark.

Lines differ by colour (Okabe and Ito's palette), dash and marker; axes and text take the page's own
colour. All text is escaped here.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2", "12 4")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 300, 56, 12, 14, 44
DIGIT = 7.5  # width of a digit at most
LIGHT, DARK = (247, 251, 255), (8, 48, 107)
Line = Sequence[float | None]


def line_chart(
    label: str,
    series: Mapping[str, Line],
    xs: Sequence[str],
    x_label: str,
    y_label: str,
    reference: tuple[str, Line] | None = None,
) -> str:
    """One line a series over the categories ``xs``.

    ``reference`` is drawn thin and grey. None leaves a gap.
    """
    lines = {**series, **({reference[0]: reference[1]} if reference else {})}
    values = [y for line in lines.values() for y in line if y is not None]
    if not values:
        return ""
    low, high, step = _ticks(min(values), max(values))
    rows = -(-len(lines) // 2)
    ticks = [low + k * step for k in range(round((high - low) / step) + 1)]
    # Room for the widest label, right of the axis's title.
    left = max(LEFT, 32 + DIGIT * max(len(_number(tick, step)) for tick in ticks))
    height = HEIGHT + 18 * rows

    def x(i: int) -> float:
        return left + (WIDTH - left - RIGHT) * (i + 0.5) / len(xs)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    out = [_open(label, WIDTH, height)]
    for value in ticks:
        out.append(
            f'<line x1="{left:.1f}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            'class="grid"/>'
        )
        out.append(
            f'<text x="{left - 6:.1f}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{_number(value, step)}</text>'
        )
    every = -(-len(xs) // 12)
    for i, name in enumerate(xs):
        if i % every == 0:
            out.append(
                f'<text x="{x(i):.1f}" y="{HEIGHT - BOTTOM + 16}" '
                f'text-anchor="middle">{escape(name)}</text>'
            )
    out.append(
        f'<text x="{(left + WIDTH) / 2:.1f}" y="{HEIGHT - 8}" '
        f'text-anchor="middle">{escape(x_label)}</text>'
    )
    out.append(
        f'<text transform="translate(13 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>'
    )
    for n, (name, line) in enumerate(lines.items()):
        grey = reference is not None and name == reference[0]
        colour, dash = (
            ("#888", "3 3") if grey else (COLOURS[n % len(COLOURS)], DASHES[n % len(DASHES)])
        )
        for run in _unbroken(line):
            points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in run)
            out.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" '
                f'stroke-width="{1 if grey else 2}" stroke-dasharray="{dash}"/>'
            )
            if not grey:
                out += [_marker(n, x(i), y(value), colour) for i, value in run]
        at_x, at_y = LEFT + (n % 2) * 250, HEIGHT + 18 * (n // 2) + 4
        out.append(
            f'<line x1="{at_x}" x2="{at_x + 28}" y1="{at_y}" y2="{at_y}" stroke="{colour}" '
            f'stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        out.append("" if grey else _marker(n, at_x + 14, at_y, colour))
        out.append(
            f'<text x="{at_x + 34}" '
            f'y="{at_y + 4}">{escape(name if len(name) < 34 else name[:32] + "…")}</text>'
        )
    return "".join([*out, "</svg>"])


def heat_map(
    label: str,
    rows: Sequence[Line],
    row_names: Sequence[str],
    column_names: Sequence[str],
    digits: int = 0,
) -> str:
    """Cells from light to dark blue by value, each with its number where there is room.

    None stays empty.
    """
    values = [value for row in rows for value in row if value is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    cell, tall, left, top = max(18, min(52, 480 // max(1, len(column_names)))), 24, 76, 22
    out = [_open(label, left + cell * len(column_names) + 4, top + tall * len(rows) + 4)]
    every = -(-30 // cell)
    for j, name in enumerate(column_names):
        if j % every == 0:
            out.append(
                f'<text x="{left + cell * (j + 0.5):.1f}" y="{top - 7}" '
                f'text-anchor="middle">{escape(name)}</text>'
            )
    for i, (name, row) in enumerate(zip(row_names, rows, strict=True)):
        out.append(
            f'<text x="{left - 6:.1f}" y="{top + tall * i + 16}" '
            f'text-anchor="end">{escape(name)}</text>'
        )
        for j, value in enumerate(row):
            if value is None:
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            colour = ",".join(
                str(round(a + (b - a) * share)) for a, b in zip(LIGHT, DARK, strict=True)
            )
            out.append(
                f'<rect x="{left + cell * j}" y="{top + tall * i}" width="{cell - 1}" '
                f'height="{tall - 1}" fill="rgb({colour})"/>'
            )
            if cell >= 30:
                ink = "#fff" if share > 0.5 else "#111"
                at = left + cell * (j + 0.5)
                out.append(
                    f'<text x="{at:.1f}" y="{top + tall * i + 16}" text-anchor="middle" '
                    f'style="fill:{ink}">{value:.{digits}f}</text>'
                )
    return "".join([*out, "</svg>"])


def _open(label: str, width: float, height: float) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">'
    )


def _ticks(low: float, high: float) -> tuple[float, float, float]:
    """Round bounds and a step that give four to eight grid lines."""
    spread = high - low or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(spread / 4))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if spread / (step * m) <= 6)
    return math.floor(low / step) * step, (math.floor(high / step) + 1) * step, step


def _number(value: float, step: float) -> str:
    digits = max(
        0, -math.floor(math.log10(step)) + (step * 10 ** -math.floor(math.log10(step)) % 1 > 0.01)
    )
    return f"{value + 0.0:.{digits}f}".replace("-", "−")


def _unbroken(line: Line) -> list[list[tuple[int, float]]]:
    """The stretches of a line between gaps."""
    runs: list[list[tuple[int, float]]] = [[]]
    for i, value in enumerate(line):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((i, value))
    return [run for run in runs if run]


def _marker(n: int, x: float, y: float, colour: str) -> str:
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>',
        f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" fill="{colour}"/>',
        f'<path d="M{x:.1f} {y - 4:.1f}l4 7h-8z" fill="{colour}"/>',
        f'<path d="M{x:.1f} {y - 4.5:.1f}l4.5 4.5-4.5 4.5-4.5-4.5z" fill="{colour}"/>',
    )
    return shapes[n % len(shapes)]

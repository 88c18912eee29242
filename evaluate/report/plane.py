"""A plane: two figures of each run against each other, a marker a series."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from .svg import (
    ROW,
    WIDTH,
    colour_of,
    drawing,
    grid_values,
    legend,
    marker,
    rule,
    text,
    tick_number,
    ticks,
)

LEFT, RIGHT, TOP, PLOT = 56, 14, 14, 250
Points = Sequence[tuple[float, float]]


def plane(label: str, series: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """The mean of each series as a large marker, its runs as small ones. The y axis points down.

    So that better is up and to the right where y is a loss.
    """
    points = [point for runs in series.values() for point in runs]
    if not points:
        return ""
    low_x, high_x, step_x = ticks(min(p[0] for p in points), max(p[0] for p in points))
    low_y, high_y, step_y = ticks(min(0.0, *(p[1] for p in points)),
                                  max(0.0, *(p[1] for p in points)))  # fmt: skip
    bottom = TOP + PLOT

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low_x) / (high_x - low_x)

    def y(value: float) -> float:
        return TOP + PLOT * (value - low_y) / (high_y - low_y)

    out = []
    for value in grid_values(low_x, high_x, step_x):
        out.append(rule(x(value), TOP, x(value), bottom))
        out.append(text(x(value), bottom + 16, tick_number(value, step_x), "middle"))
    for value in grid_values(low_y, high_y, step_y):
        out.append(rule(LEFT, y(value), WIDTH - RIGHT, y(value)))
        out.append(text(LEFT - 6, y(value) + 4, tick_number(value, step_y), "end"))
    out.append(f'<path d="M{LEFT} {y(0):.1f}H{WIDTH - RIGHT}" stroke="currentColor"/>')
    out.append(text((LEFT + WIDTH) / 2, bottom + 36, x_label, "middle"))
    out.append(text(13, TOP + PLOT / 2, y_label, "middle", -90))
    for n, runs in enumerate(series.values()):
        colour = colour_of(n)
        out += [f'<g opacity="0.45">{marker(n, x(a), y(b), colour, 0.7)}</g>' for a, b in runs]
        if runs:
            middle = x(fmean(a for a, _ in runs)), y(fmean(b for _, b in runs))
            out.append(marker(n, *middle, colour, 1.8))
    marks = [marker(n, 0, 0, colour_of(n), 1.4) for n in range(len(series))]
    out += legend(list(series), bottom + 58, marks)
    return drawing(label, WIDTH, bottom + 58 + ROW * len(series), out)

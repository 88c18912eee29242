"""Bar charts: figures of things that have no order, a bar a series and thing."""

from collections.abc import Mapping, Sequence

from .svg import (
    LETTER,
    ROW,
    WIDTH,
    Line,
    colour_of,
    drawing,
    grid_values,
    legend,
    rule,
    short,
    text,
    tick_number,
    ticks,
)

TOP, BAR, GAP, NAMED = 8, 9, 7, 24


def bar_chart(label: str, series: Mapping[str, Line], things: Sequence[str], x_label: str) -> str:
    """Lying bars from 0, grouped by thing. None leaves a gap."""
    values = [value for bars in series.values() for value in bars if value is not None]
    if not values:
        return ""
    low, high, step = ticks(min(0.0, *values), max(0.0, *values))
    names = [short(name, NAMED) for name in things]
    left = 14 + LETTER * max(map(len, names))
    right = 6 + 4 * max(len(tick_number(value, step)) for value in (low, high))
    tall = BAR * len(series) + GAP
    bottom = TOP + tall * len(things)

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * (value - low) / (high - low)

    out = []
    for value in grid_values(low, high, step):
        out.append(rule(x(value), TOP, x(value), bottom))
        out.append(text(x(value), bottom + 16, tick_number(value, step), "middle"))
    out.append(text(WIDTH - right, bottom + 36, x_label, "end"))
    for i, name in enumerate(names):
        top = TOP + tall * i + GAP / 2
        out.append(text(left - 8, top + BAR * len(series) / 2 + 4, name, "end"))
        for n, bars in enumerate(series.values()):
            size = bars[i]
            if size is None:
                continue
            start, end = sorted((x(0), x(size)))
            out.append(
                f'<rect x="{start:.1f}" y="{top + BAR * n:.1f}" width="{max(1, end - start):.1f}" '
                f'height="{BAR - 1}" fill="{colour_of(n)}"/>'
            )
    out.append(f'<path d="M{x(0):.1f} {TOP}V{bottom}" stroke="currentColor"/>')
    marks = [
        f'<rect x="-8" y="-5" width="16" height="10" fill="{colour_of(n)}"/>'
        for n in range(len(series))
    ]
    out += legend(list(series), bottom + 56, marks)
    return drawing(label, WIDTH, bottom + 56 + ROW * len(series), out)

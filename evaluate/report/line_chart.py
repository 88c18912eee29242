"""Line charts: what goes on in time, a line a series."""

from collections.abc import Mapping, Sequence

from .svg import (
    DASHES,
    LETTER,
    ROW,
    WIDTH,
    Line,
    colour_of,
    drawing,
    grid_values,
    legend,
    marker,
    rule,
    short,
    text,
    tick_number,
    ticks,
)

PLOT, RIGHT, TOP = 226, 12, 14
NAMED, TILT = 14, -35  # letters of a place's name, and how it is turned


def line_chart(
    label: str,
    series: Mapping[str, Line],
    xs: Sequence[str],
    x_label: str,
    y_label: str,
    reference: tuple[str, Line] | None = None,
) -> str:
    """One line a series over the places ``xs``; names longer than numbers stand at a slant.

    ``reference`` is drawn thin and grey. None leaves a gap.
    """
    lines = {**series, **({reference[0]: reference[1]} if reference else {})}
    values = [y for line in lines.values() for y in line if y is not None]
    if not values:
        return ""
    low, high, step = ticks(min(values), max(values))
    grid = grid_values(low, high, step)
    # Room for the widest number, right of the axis's title.
    left = max(48, 32 + 7.5 * max(len(tick_number(tick, step)) for tick in grid))
    names = [short(name, NAMED) for name in xs]
    is_named = max(map(len, names)) > 4
    if is_named:  # the names begin left of their places
        reach = max(0.82 * LETTER * len(name) - i * (WIDTH - left - RIGHT) / len(xs)
                    for i, name in enumerate(names))  # fmt: skip
        left = max(left, reach - (WIDTH - left - RIGHT) / (2 * len(xs)))
    below = (14 + 0.58 * LETTER * max(map(len, names)) if is_named else 16) + 22
    bottom = TOP + PLOT

    def x(i: int) -> float:
        return left + (WIDTH - left - RIGHT) * (i + 0.5) / len(xs)

    def y(value: float) -> float:
        return TOP + PLOT * (high - value) / (high - low)

    out = []
    for value in grid:
        out.append(rule(left, y(value), WIDTH - RIGHT, y(value)))
        out.append(text(left - 6, y(value) + 4, tick_number(value, step), "end"))
    every = -(-len(xs) // (20 if is_named else 12))
    for i, name in list(enumerate(names))[::every]:
        out.append(
            text(x(i) + 4, bottom + 14, name, "end", TILT)
            if is_named
            else text(x(i), bottom + 16, name, "middle")
        )
    out.append(text((left + WIDTH) / 2, bottom + below - 6, x_label, "middle"))
    out.append(text(13, TOP + PLOT / 2, y_label, "middle", -90))
    marks = []
    for n, (name, line) in enumerate(lines.items()):
        is_reference = reference is not None and name == reference[0]
        colour, dash = ("#888", "3 3") if is_reference else (colour_of(n), DASHES[n % len(DASHES)])
        stroke = (
            f'fill="none" stroke="{colour}" stroke-width="{1 if is_reference else 2}" '
            f'stroke-dasharray="{dash}"'
        )
        for stretch in _unbroken(line):
            points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in stretch)
            out.append(f'<polyline points="{points}" {stroke}/>')
            if not is_reference:
                out += [marker(n, x(i), y(value), colour) for i, value in stretch]
        own = "" if is_reference else marker(n, 0, 0, colour)
        marks.append(f'<path d="M-14 0h28" {stroke}/>{own}')
    out += legend(list(lines), bottom + below + 12, marks)
    return drawing(label, WIDTH, bottom + below + 12 + ROW * len(lines), out)


def _unbroken(line: Line) -> list[list[tuple[int, float]]]:
    """The stretches of a line between gaps."""
    runs: list[list[tuple[int, float]]] = [[]]
    for i, value in enumerate(line):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((i, value))
    return [run for run in runs if run]

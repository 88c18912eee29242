"""Heat maps: a matrix as colours, light to dark blue, with numbers where there is room."""

from collections.abc import Sequence

from .svg import LETTER, Line, drawing, short, text

LIGHT, DARK = (247, 251, 255), (8, 48, 107)
TALL, NAMED, TILT = 22, 18, -40
ROOM = 30  # width of a cell that holds a number


def heat_map(
    label: str,
    rows: Sequence[Line],
    row_names: Sequence[str],
    column_names: Sequence[str],
    digits: int = 0,
) -> str:
    """Cells by value, with their names on both sides. None stays empty."""
    values = [value for row in rows for value in row if value is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    down = [short(name, NAMED) for name in row_names]
    across = [short(name, NAMED) for name in column_names]
    left = 12 + LETTER * max(map(len, down))
    cell = max(18, min(52, 440 // max(1, len(across))))
    is_slanted = max(map(len, across)) * LETTER > cell
    longest = LETTER * max(map(len, across))
    top = 16 + (0.65 * longest if is_slanted else 8)
    right = 0.77 * longest if is_slanted else 4
    every = 1 if is_slanted else -(-ROOM // cell)
    out = []
    for j, name in list(enumerate(across))[::every]:
        middle = left + cell * (j + 0.5)
        out.append(
            text(middle, top - 6, name, "start", TILT)
            if is_slanted
            else text(middle, top - 6, name, "middle")
        )
    for i, (name, row) in enumerate(zip(down, rows, strict=True)):
        y = top + TALL * i
        out.append(text(left - 6, y + 15, name, "end"))
        for j, value in enumerate(row):
            if value is None:
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            tints = (round(a + (b - a) * share) for a, b in zip(LIGHT, DARK, strict=True))
            colour = ",".join(map(str, tints))
            out.append(
                f'<rect x="{left + cell * j:.1f}" y="{y:.1f}" width="{cell - 1}" '
                f'height="{TALL - 1}" fill="rgb({colour})"/>'
            )
            if cell >= ROOM:
                ink = "#fff" if share > 0.5 else "#111"
                at = left + cell * (j + 0.5)
                shown = f"{value:.{digits}f}".replace("-", "−")
                out.append(
                    f'<text x="{at:.1f}" y="{y + 15:.1f}" text-anchor="middle" '
                    f'style="fill:{ink}">{shown}</text>'
                )
    width = left + cell * len(across) + right
    return drawing(label, width, top + TALL * len(rows) + 4, out)

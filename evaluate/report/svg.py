"""Parts of a drawing as SVG text: frame, axes' numbers, markers, legend.

Readable in print, on a phone, by the colour-blind, light and dark: series differ by colour (Okabe
and Ito's palette), dash and marker; axes and text take the page's own colour. All text is escaped
here.
"""

import math
from collections.abc import Sequence
from html import escape

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2", "12 4")
WIDTH = 440  # a phone's, so that text stays readable there
LETTER = 6.6  # width of one, at most, on average
ROW = 18  # of the legend
Line = Sequence[float | None]


def drawing(label: str, width: float, height: float, parts: Sequence[str]) -> str:
    """A whole picture that a screen reader calls ``label``."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def standalone(svg: str) -> str:
    """A picture for a file of its own, where no page gives it a style."""
    style = "<style>text{font:12px sans-serif;fill:#222}.grid{stroke:#ccc}</style>"
    return svg.replace("</svg>", f"{style}</svg>")


def text(x: float, y: float, words: str, anchor: str = "start", turn: float = 0) -> str:
    """Words at a point, turned by degrees."""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{escape(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line of the grid."""
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" class="grid"/>'


def marker(n: int, x: float, y: float, colour: str, size: float = 1) -> str:
    """The mark of series ``n``."""
    r = 3.5 * size
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{colour}"/>',
        f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}" '
        f'fill="{colour}"/>',
        f'<path d="M{x:.1f} {y - 1.2 * r:.1f}l{1.2 * r:.1f} {2 * r:.1f}h{-2.4 * r:.1f}z" '
        f'fill="{colour}"/>',
        f'<path d="M{x:.1f} {y - 1.3 * r:.1f}l{1.3 * r:.1f} {1.3 * r:.1f}l{-1.3 * r:.1f} '
        f'{1.3 * r:.1f}l{-1.3 * r:.1f} {-1.3 * r:.1f}z" fill="{colour}"/>',
    )
    return shapes[n % len(shapes)]


def colour_of(n: int) -> str:
    """The colour of series ``n``."""
    return COLOURS[n % len(COLOURS)]


def legend(names: Sequence[str], top: float, marks: Sequence[str]) -> list[str]:
    """A row a series: its mark, drawn around (0, 0), and its name."""
    rows = []
    for n, (name, mark) in enumerate(zip(names, marks, strict=True)):
        y = top + ROW * n
        rows.append(f'<g transform="translate(24 {y:.1f})">{mark}</g>')
        rows.append(text(46, y + 4, short(name, 58)))
    return rows


def short(name: str, letters: int) -> str:
    """A name, cut at so many letters."""
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def ticks(low: float, high: float) -> tuple[float, float, float]:
    """Round bounds and a step that give four to eight grid lines."""
    spread = high - low or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(spread / 4))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if spread / (step * m) <= 6)
    return math.floor(low / step) * step, (math.floor(high / step) + 1) * step, step


def grid_values(low: float, high: float, step: float) -> list[float]:
    """The values of the grid's lines."""
    return [low + k * step for k in range(round((high - low) / step) + 1)]


def tick_number(value: float, step: float) -> str:
    """A grid line's value, with as many digits as its step needs."""
    digits = max(
        0, -math.floor(math.log10(step)) + (step * 10 ** -math.floor(math.log10(step)) % 1 > 0.01)
    )
    return f"{value + 0.0:.{digits}f}".replace("-", "−")

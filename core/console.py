"""What a person reads on a terminal: a progress line, messages above it, and tables."""

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence

Progress = Callable[[int, int, str], None]  # done, total, detail
Log = Callable[[str], None]

ERASE_LINE = "\r\x1b[K"  # return to the start of the line and clear it
STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidirectional too), line separators


class ProgressLine:
    """A moving line (``line``) on a terminal, one every ten percent elsewhere, none when quiet."""

    def __init__(self, verb: str, unit: str, quiet: bool = False) -> None:
        self.verb, self.unit, self.quiet = verb, unit, quiet
        self.line, self._tenth = "", -1
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        """Show ``done`` of ``total`` units; rate and time left count from the first call on."""
        rate = self._rate(done, total)
        more = f", {detail}" if detail else ""
        self.line = printable(f"{self.verb}: {done} of {total} {self.unit}{rate}{more}")
        moving, tenth = sys.stderr.isatty(), 10 * done // max(1, total)
        if self.quiet or (not moving and tenth == self._tenth):
            return
        self._tenth = tenth
        if moving:
            # A line as wide as the terminal would wrap, and the next one would not erase all of it.
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            shown = self.line[: columns - 1]
            sys.stderr.write(ERASE_LINE + shown + ("\n" if done >= total else ""))
        else:
            sys.stderr.write(self.line + "\n")
        sys.stderr.flush()

    def _rate(self, done: int, total: int) -> str:
        now = time.monotonic()
        self._first = self._first or (done, now)
        units, seconds = done - self._first[0], now - self._first[1]
        if not units or not seconds or done >= total:
            return ""
        left = _duration((total - done) * seconds / units)
        return f", {units / seconds:.3g} {self.unit}/s, {left} left"


def _duration(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {left:02d} s" if minutes else f"{seconds:.0f} s"


def log_to_stderr(line: str) -> None:
    """Print a message on stderr; on a terminal it replaces a moving progress line."""
    erase = ERASE_LINE if sys.stderr.isatty() else ""
    print(erase + printable(line), file=sys.stderr, flush=True)  # noqa: T201


def log_unless(quiet: bool) -> Log:
    """``log_to_stderr``, or a function that discards its message when ``quiet``."""
    return (lambda line: None) if quiet else log_to_stderr


def printable(text: str) -> str:
    """Others' text, with an escape for characters that could steer a terminal; newlines stay."""
    return "".join(
        char
        if char in "\n\u200d" or unicodedata.category(char) not in STEERING
        else char.encode("unicode_escape").decode()
        for char in text
    )


def text_table(rows: Sequence[Sequence[object]], align: str = "<", gap: int = 2) -> str:
    """Rows of equally many cells (None is blank) as text, each column as wide as its widest cell.

    ``align`` has "<" (left) or ">" (right) for each column; the last holds for all further ones.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    sides = align + align[-1] * max((len(row) for row in cells), default=0)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        (" " * gap).join(f"{cell:{side}{width}}" for cell, side, width in columns)
        for columns in (zip(row, sides, widths, strict=False) for row in cells)
    )
    return "\n".join(line.rstrip() for line in lines)

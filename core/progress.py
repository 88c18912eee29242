"""A progress line on stderr, and notes above it."""

import os
import sys
import time
from collections.abc import Callable

from .terminal import printable

Progress = Callable[[int, int, str], None]  # done, total, detail
Log = Callable[[str], None]

ERASE_LINE = "\r\x1b[K"  # to the line's start, and clear to its end


class ProgressLine:
    """One moving line on a terminal, a plain line every ten percent elsewhere, none when quiet.

    ``line`` is the last state, printed or not.
    """

    def __init__(self, verb: str, unit: str, quiet: bool) -> None:
        self.verb, self.unit, self.quiet = verb, unit, quiet
        self.line, self._tenth = "", -1
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        """``done`` of ``total`` units; pace and time left count from the first call on."""
        pace = self._pace(done, total)
        more = f", {detail}" if detail else ""
        self.line = printable(f"{self.verb}: {done} of {total} {self.unit}{pace}{more}")
        moving, tenth = sys.stderr.isatty(), 10 * done // max(1, total)
        if self.quiet or (not moving and tenth == self._tenth):
            return
        self._tenth = tenth
        if moving:
            # A line as wide as the terminal would wrap and leave its rest behind.
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            shown = self.line[: columns - 1]
            sys.stderr.write(ERASE_LINE + shown + ("\n" if done >= total else ""))
        else:
            sys.stderr.write(self.line + "\n")
        sys.stderr.flush()

    def _pace(self, done: int, total: int) -> str:
        now = time.monotonic()
        self._first = self._first or (done, now)
        worked, taken = done - self._first[0], now - self._first[1]
        if not worked or not taken or done >= total:
            return ""
        left = _duration((total - done) * taken / worked)
        return f", {worked / taken:.3g} {self.unit}/s, {left} left"


def _duration(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {left:02d} s" if minutes else f"{seconds:.0f} s"


def log_to_stderr(line: str) -> None:
    """The default way to tell a person something; on a terminal, in place of a progress line."""
    erase = ERASE_LINE if sys.stderr.isatty() else ""
    print(erase + printable(line), file=sys.stderr, flush=True)  # noqa: T201


def log_unless(quiet: bool) -> Log:
    """``log_to_stderr``, or what tells nothing."""
    return (lambda line: None) if quiet else log_to_stderr

"""Progress in few plain lines, messages that do not mix with it, and tables."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
import time

import pytest
from structalign.core.console import ProgressLine, text_table


def test_ten_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine("extract", "clips", quiet=False)
    for done in range(0, 201):
        progress(done, 200, "3 quarantined")
    lines = capsys.readouterr().err.splitlines()
    assert (
        len(lines) == 11
        and lines[0] == "extract: 0 of 200 clips, 3 quarantined"
        and lines[-1] == "extract: 200 of 200 clips, 3 quarantined"
    )
    assert "\r" not in "".join(lines)


def test_rate_and_time_left_count_from_where_it_resumed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = ProgressLine("extract", "clips", quiet=False)
    progress(100, 200)  # done by an earlier process
    clock[0] = 10
    progress(120, 200)
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "extract: 120 of 200 clips, 2 clips/s, 40 s left"
    )


def test_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressLine("train", "epochs", quiet=True)(1, 2, "loss 1")
    assert capsys.readouterr().err == ""


SHOWN_ON_A_TERMINAL = """
from structalign.core.console import ProgressLine, log_to_stderr
progress = ProgressLine("train", "epochs", quiet=False)
progress(1, 4, "task 1, epoch 1 of 2, loss 2.0718, R@1 50.00 after zero-shot")
progress(2, 4, "short")
log_to_stderr("task 1: R@1 50.00")
progress(3, 4, "task 2, epoch 1 of 2, loss 2.0718, R@1 50.00 after task 1")
progress(4, 4)
log_to_stderr("done")
"""


def screen(written: str, columns: int) -> list[str]:
    """What a terminal shows of what was written to it: carriage return, erase, and wrapping."""
    rows, at = [""], 0
    for part in re.findall(r"\x1b\[K|[^\x1b]", written):
        if part == "\x1b[K":
            rows[-1] = rows[-1][:at]
        elif part == "\r":
            at = 0
        elif part == "\n":
            rows, at = [*rows, ""], 0
        else:
            if at == columns:
                rows, at = [*rows, ""], 0
            rows[-1] = rows[-1][:at].ljust(at) + part + rows[-1][at + 1 :]
            at += 1
    return [row.rstrip() for row in rows]


@pytest.mark.parametrize("columns", [40, 200])
def test_messages_and_a_moving_line_do_not_mix_on_a_terminal(columns: int) -> None:
    """Once: '...R@1 50.00 after zero-shottask 1: R@1 50.00', and remains of wrapped lines."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with subprocess.Popen([sys.executable, "-c", SHOWN_ON_A_TERMINAL], stderr=theirs) as child:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 4096):
                written += part
    os.close(ours)
    assert child.returncode == 0
    rows = screen(written.decode(), columns)
    assert rows[0] == "task 1: R@1 50.00" and rows[2:] == ["done", ""]
    assert rows[1].startswith("train: 4 of 4 epochs")


def test_minutes_and_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1.0, 2.0, 3.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = ProgressLine("extract", "clips", quiet=True)
    ends = []
    for done, total in ((0, 10_000), (1, 10_000), (2, 100), (3, 10)):
        progress(done, total)
        ends.append(progress.line.rpartition(", ")[2])
    assert ends[1:] == ["2 h 46 min left", "1 min 38 s left", "7 s left"]


def test_a_table_is_as_wide_as_its_cells() -> None:
    rows = [("name", "clips", "state"), ("msrvtt", 10_000, "complete"), ("x", None, "")]
    assert text_table(rows, align="<><").splitlines() == [
        "name    clips  state", "msrvtt  10000  complete", "x",
    ]  # fmt: skip


def test_the_last_alignment_holds_for_all_further_columns() -> None:
    assert text_table([("a", 1, 20), ("b", 30, 4)], align="<>", gap=1) == "a  1 20\nb 30  4"


def test_a_table_of_nothing_is_empty() -> None:
    assert text_table([]) == ""

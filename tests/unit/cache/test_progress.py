"""How far long work is, in calm lines."""

import io
import time

import pytest
from structalign.cache.runtime.progress import ProgressLine


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


def test_rate_and_time_left_count_from_where_it_went_on(
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


def test_one_line_that_moves_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    progress = ProgressLine("extract", "clips", quiet=False)
    progress(0, 1000, "nothing quarantined yet")
    progress(0, 1000)
    progress(1000, 1000)
    first, second, third = terminal.getvalue().lstrip("\r").split("\r")
    assert first == "extract: 0 of 1000 clips, nothing quarantined yet"
    assert second == "extract: 0 of 1000 clips".ljust(len(first)), "what stood there is wiped out"
    assert third.rstrip() == "extract: 1000 of 1000 clips" and third.endswith("\n")


def test_minutes_and_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1.0, 2.0, 3.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = ProgressLine("extract", "clips", quiet=True)
    ends = []
    for done, total in ((0, 10_000), (1, 10_000), (2, 100), (3, 10)):
        progress(done, total)
        ends.append(progress.line.rpartition(", ")[2])
    assert ends[1:] == ["2 h 46 min left", "1 min 38 s left", "7 s left"]

"""Interrupted by hand, long work says where it stands and how to go on, with the contract's exit
code.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.cli import EXTRACT_LINE, QUICK, Cli


def interrupt(cli: Cli, reached: Callable[[], bool], *arguments: object) -> tuple[int, str]:
    """Start, send SIGINT once it has ``reached`` that: exit code and stderr."""
    process = cli.fork(*arguments)
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    return process.wait(), err


@pytest.mark.slow
def test_training(shared: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ("train", *QUICK, "--set", "epochs=300", "--out", run)
    log = run / "log.jsonl"
    second = lambda: log.exists() and len(log.read_text().splitlines()) > 1  # noqa: E731 (then the first epoch was told)
    code, err = interrupt(shared, second, *arguments)
    assert code == 130 and "Traceback" not in err
    assert (
        "interrupted at train: " in err
        and " of 600 epochs" in err
        and "task 1, epoch" in err
        and "loss" in err
    )
    assert (
        f"the same command continues: structalign train {' '.join(QUICK)} --set epochs=300 --out "
        f"{run}" in err
    )


@pytest.mark.slow
def test_extraction(cli: Cli, videos: Path) -> None:
    arguments = (
        "extract",
        "--dataset",
        "manifest",
        "--root",
        videos,
        "--engine",
        "inline",
        "--cut",
        "4",
        "--frames",
        "4",
        "--views",
        "2",
    )
    backbone = ("--backbone", "demo", "--pretrained", "demo")
    code, err = interrupt(cli, (cli.home / "cache" / "staging").exists, *arguments, *backbone)
    assert (
        code == 130
        and "Traceback" not in err
        and "interrupted" in err
        and "the same command continues: structalign extract" in err
    )
    assert cli.json(*arguments, *backbone)["ok"] == 32


def alive(mark: str) -> list[str]:
    """Command lines of the processes that were started with ``mark`` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has just ended
    return [line for line in found if line]


def left_after(seconds: float, mark: str, agents: bool) -> list[str]:
    """What is still alive after so long, without Ray's own agents unless they count."""
    until = time.monotonic() + seconds
    while (
        left := [one for one in alive(mark) if agents or "Agent" not in one]
    ) and time.monotonic() < until:
        time.sleep(0.2)
    return left


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["inline", pytest.param("ray", marks=pytest.mark.xdist_group("ray"))]
)
def test_no_process_outlives_an_extraction(engine: str, cli: Cli, videos: Path) -> None:
    """SIGTERM ends it within 10 s, resumable; no child of ours is left, also after SIGKILL."""
    line = (*EXTRACT_LINE.split(), "--root", videos, "--engine")
    for sent in (signal.SIGKILL, signal.SIGTERM):
        mark = f"STRUCTALIGN_TEST_{engine}_{sent.name}_{os.getpid()}"
        cli.environment["MARK"] = mark
        process = cli.fork(*line, engine)
        while not any("decoder_process" in line for line in alive(mark)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - began < 10
        if sent == signal.SIGTERM:
            assert process.returncode == 130 and "the same command continues" in err, err
        # Ray's own two agents take longer than that to miss their killed node.
        assert left_after(30, mark, agents=sent == signal.SIGTERM) == []
    assert cli.json(*line, "inline")["ok"] == 32


@pytest.mark.slow
def test_a_run_that_is_being_trained_is_not_overwritten(shared: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ("train", *QUICK, "--set", "epochs=300", "--out", run)
    process = shared.fork(*arguments)
    while not list(run.glob("lease.*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    told = shared.error("train", *QUICK, "--out", run, "--overwrite")
    assert f"is being trained by process {process.pid}" in told and "nothing was overwr" in told
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert shared("train", *QUICK, "--out", run, "--overwrite").returncode == 0

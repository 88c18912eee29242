"""Interrupted by hand, long work says where it stands and how to go on, with the contract's exit
code.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.cli import QUICK, ROOT, Cli


def interrupt(cli: Cli, reached: Callable[[], bool], *arguments: str | Path) -> tuple[int, str]:
    """Start, send SIGINT once it has ``reached`` that.

    Exit code and stderr. (A shell's background jobs ignore SIGINT: this one does not.)
    """
    command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli.environment,
        cwd=cli.home,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    return process.returncode, err


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
        f"the same command goes on: structalign train {' '.join(QUICK)} --set epochs=300 --out "
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
        and "the same command goes on: structalign extract" in err
    )
    assert cli.json(*arguments, *backbone)["ok"] == 32

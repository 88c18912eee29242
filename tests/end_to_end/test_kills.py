"""Killed with -9 at any moment and started again, extraction and training end with what they would have made undisturbed.

The quick part; ``make soak`` does the same more often (``tests/soak``).
"""

import hashlib
import json
import random
import shutil
import time
from pathlib import Path

import pytest

from cache.verify import verify
from tests.conftest import EXTRACT, Cli
from tests.end_to_end.test_pipeline import QUICK, without_seconds

ARGS = (*EXTRACT, "--cut", "4")
TRAIN = (*QUICK, "--checkpoint-every", "0")


def run_and_kill(cli: Cli, delay: float, appears: Path, *arguments: str | Path) -> bool:
    """Start, kill ``delay`` seconds after ``appears`` is there; False when it had finished before."""
    process = cli.start(*arguments)
    while not appears.exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    killed = process.poll() is None
    process.kill()
    process.communicate()
    return killed


def seconds_after(cli: Cli, appears: Path, *arguments: str | Path) -> float:
    """How long an undisturbed run takes from when ``appears`` is there."""
    process = cli.start(*arguments)
    while not appears.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    began = time.monotonic()
    _, err = process.communicate()
    assert process.returncode == 0, err
    return time.monotonic() - began


def bytes_of(folder: Path, pattern: str) -> dict[str, str]:
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob(pattern))}


def kill_extraction(cli: Cli, videos: Path, times: int, seed: int) -> int:
    """Extract with ``times`` kills at random moments spread over all of it, each time from nothing; returns how many struck a running process."""
    rng = random.Random(seed)
    root = cli.home / "cache"
    whole = seconds_after(cli, root / "staging", *ARGS, "--root", videos)
    (path,) = (root / "caches").iterdir()
    expected = bytes_of(path, "**/c.*")
    struck = 0
    for n in range(times):
        cli.json("cache", "rm", path, "--yes")
        shutil.rmtree(root / "staging")
        struck += run_and_kill(cli, whole * (n + rng.random()) / times, root / "staging", *ARGS, "--root", videos)
        assert not path.exists() or verify(path).ok
        cli.json(*ARGS, "--root", videos)
        assert bytes_of(path, "**/c.*") == expected and verify(path).ok
        assert not list((root / "staging").glob("*"))
    return struck


def kill_training(shared: Cli, folder: Path, times: int, seed: int) -> int:
    """Train with ``times`` kills at random moments of as many runs; returns how many struck a running process."""
    rng = random.Random(seed)
    first = folder / "undisturbed"
    whole = seconds_after(shared, first / "config.json", "train", *TRAIN, "--out", first)
    expected = without_seconds(json.loads((first / "results.json").read_text()))
    struck = 0
    for n in range(times):
        run = folder / f"run{n}"
        struck += run_and_kill(shared, whole * (n + rng.random()) / times, run / "config.json", "train", *TRAIN, "--out", run)
        resumed = shared.json("train", *TRAIN, "--out", run)
        assert without_seconds(resumed) == expected
        assert bytes_of(run, "tasks/*/*.safetensors") == bytes_of(first, "tasks/*/*.safetensors")
        assert not (run / "unfinished").exists()
        shutil.rmtree(run)
    return struck


@pytest.mark.slow
def test_extraction(cli: Cli, videos: Path) -> None:
    assert kill_extraction(cli, videos, 2, seed=3) > 0


@pytest.mark.slow
def test_training(shared: Cli, tmp_path: Path) -> None:
    assert kill_training(shared, tmp_path, 2, seed=3) > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["structalign:selection=heldout:heldout=0.25", "structalign-released:batch=8"])
def test_going_on_inside_a_task_equals_never_stopping(shared: Cli, tmp_path: Path, method: str) -> None:
    """Killed when the second task has its first epoch behind it: the checkpoint inside the task is what it goes on from."""
    arguments = ("train", *TRAIN, "--method", method)
    whole = shared.json(*arguments, "--out", tmp_path / "whole")
    run_and_kill(shared, 0, tmp_path / "cut" / "unfinished" / "02-0001", *arguments, "--out", tmp_path / "cut")
    if not (tmp_path / "cut" / "results.json").exists():
        assert [folder.name for folder in (tmp_path / "cut" / "unfinished").glob("02-*")]
    resumed = shared.json(*arguments, "--out", tmp_path / "cut")
    assert without_seconds(resumed) == without_seconds(whole)
    assert bytes_of(tmp_path / "cut", "tasks/*/*.safetensors") == bytes_of(tmp_path / "whole", "tasks/*/*.safetensors")
    epochs = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert sum(entry.get("epoch") == 1 and entry["task"] == 2 for entry in epochs) == 1

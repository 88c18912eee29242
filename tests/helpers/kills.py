"""Killing extraction and training at chosen moments, and what the result must equal."""

import hashlib
import json
import random
import shutil
import time
from pathlib import Path

from structalign.cache.verify import verify

from helpers.cli import EXTRACT, QUICK, TWO_EPOCHS, Cli, without_seconds

ARGS = (*EXTRACT, "--cut", "4")
TRAIN = (*QUICK, *TWO_EPOCHS, "--checkpoint-every", "0")


def run_and_kill(cli: Cli, delay: float, appears: Path, *arguments: str | Path) -> bool:
    """Start, kill ``delay`` seconds after ``appears`` is there.

    False when it had finished before.
    """
    process = cli.fork(*arguments)
    while not appears.exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    killed = process.poll() is None
    process.kill()
    process.communicate()
    return killed


def seconds_after(cli: Cli, appears: Path, *arguments: str | Path) -> float:
    """How long an undisturbed run takes from when ``appears`` is there."""
    process = cli.fork(*arguments)
    while not appears.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    began = time.monotonic()
    _, err = process.communicate()
    assert process.returncode == 0, err
    return time.monotonic() - began


def bytes_of(folder: Path, pattern: str) -> dict[str, str]:
    """Hashes of files, but for checksums of tasks: they hold the logs', which hold times."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob(pattern))
        if file.name != "checksums.json"
    }


def kill_extraction(cli: Cli, videos: Path, times: int, seed: int) -> int:
    """Extract with ``times`` kills at random moments spread over all of it, each time from nothing.

    Returns how many struck a running process.
    """
    rng = random.Random(seed)
    root = cli.home / "cache"
    whole = seconds_after(cli, root / "staging", *ARGS, "--root", videos)
    (path,) = (root / "caches").iterdir()
    expected = bytes_of(path, "**/c.*")
    struck = 0
    for n in range(times):
        cli.json("cache", "rm", path, "--yes")
        shutil.rmtree(root / "staging")
        struck += run_and_kill(
            cli, whole * (n + rng.random()) / times, root / "staging", *ARGS, "--root", videos
        )
        assert not path.exists() or verify(path).ok
        cli.json(*ARGS, "--root", videos)
        assert bytes_of(path, "**/c.*") == expected and verify(path).ok
        assert not list((root / "staging").glob("*"))
    return struck


def kill_training(shared: Cli, folder: Path, times: int, seed: int) -> int:
    """Train with ``times`` kills at random moments of as many runs.

    Returns how many struck a running process.
    """
    rng = random.Random(seed)
    first = folder / "undisturbed"
    whole = seconds_after(shared, first / "config.json", "train", *TRAIN, "--out", first)
    expected = without_seconds(json.loads((first / "results.json").read_text()))
    struck = 0
    for n in range(times):
        run = folder / f"run{n}"
        struck += run_and_kill(
            shared,
            whole * (n + rng.random()) / times,
            run / "config.json",
            "train",
            *TRAIN,
            "--out",
            run,
        )
        resumed = shared.json("train", *TRAIN, "--out", run)
        assert without_seconds(resumed) == expected
        assert bytes_of(run, "tasks/*/*.safetensors") == bytes_of(first, "tasks/*/*.safetensors")
        assert not (run / "unfinished").exists()
        shutil.rmtree(run)
    return struck

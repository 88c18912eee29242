"""Same seed, same bytes: at a size where gradients are added up by several threads."""

import time
from pathlib import Path

import pytest
from helpers.cli import Cli
from helpers.demo_world import write_demo
from helpers.kills import bytes_of

ARGUMENTS = (
    "train", "--tasks", "3", "--set", "epochs=1", "--set", "rank=8", "--seed", "3",
    "--checkpoint-every", "0",
)  # fmt: skip
KILLS = 2
# Threads that wait asleep: spinning ones starve each other beside other tests.
TWO_THREADS = ("env", "OMP_NUM_THREADS=2", "OMP_WAIT_POLICY=PASSIVE")


@pytest.mark.slow
def test_two_runs_and_one_killed_twice_are_the_same_bytes(cli: Cli, tmp_path: Path) -> None:
    write_demo(cli.home / "cache", 100)
    cli.json("extract", "--dataset", "demo", "--limit", "100", "--engine", "inline")
    runs = [tmp_path / name for name in ("first", "second", "killed")]
    for run in runs[:2]:
        process = cli.fork(*ARGUMENTS, "--out", run, prefix=TWO_THREADS)
        assert process.wait(900) == 0, process.communicate()[1]
    for task in range(1, KILLS + 1):
        process = cli.fork(*ARGUMENTS, "--out", runs[2], prefix=TWO_THREADS)
        while not (runs[2] / "tasks" / f"{task:02d}").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.kill()
        process.communicate()
    process = cli.fork(*ARGUMENTS, "--out", runs[2], prefix=TWO_THREADS)
    assert process.wait(900) == 0, process.communicate()[1]
    first, second, killed = (bytes_of(run, "tasks/*/*.safetensors") for run in runs)
    assert len(first) == 12 and first == second == killed

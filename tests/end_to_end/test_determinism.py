"""Same seed, same bytes: at a size where gradients are added up by several threads."""

import time
from pathlib import Path

import pytest
from helpers.cli import Cli
from helpers.kills import bytes_of

ARGUMENTS = (
    "train", "--tasks", "3", "--set", "epochs=1", "--set", "rank=8", "--seed", "3",
    "--checkpoint-every", "0",
)  # fmt: skip
KILLS = 2


@pytest.mark.slow
def test_two_runs_and_one_killed_twice_are_the_same_bytes(cli: Cli, tmp_path: Path) -> None:
    # Threads that wait asleep: spinning ones starve each other beside other tests.
    cli.environment |= {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    cli.json("extract", "--dataset", "demo", "--limit", "100", "--engine", "inline")
    runs = [tmp_path / name for name in ("first", "second", "killed")]
    for run in runs[:2]:
        process = cli.start(*ARGUMENTS, "--out", run)
        assert process.wait(900) == 0, process.communicate()[1]
    for task in range(1, KILLS + 1):
        process = cli.start(*ARGUMENTS, "--out", runs[2])
        while not (runs[2] / "tasks" / f"{task:02d}").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.kill()
        process.communicate()
    process = cli.start(*ARGUMENTS, "--out", runs[2])
    assert process.wait(900) == 0, process.communicate()[1]
    first, second, killed = (bytes_of(run, "tasks/*/*.safetensors") for run in runs)
    assert len(first) == 12 and first == second == killed

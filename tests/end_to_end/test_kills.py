"""Killed with -9 at any moment and started again, extraction and training end with what they would
have made undisturbed.

The quick part; ``make soak`` does the same more often (``tests/soak``).
"""

import json
from pathlib import Path

import pytest
from helpers.cli import Cli, without_seconds
from helpers.kills import TRAIN, bytes_of, kill_extraction, kill_training, run_and_kill


@pytest.mark.slow
def test_extraction(cli: Cli, videos: Path) -> None:
    assert kill_extraction(cli, videos, 2, seed=3) > 0


@pytest.mark.slow
def test_training(shared: Cli, tmp_path: Path) -> None:
    assert kill_training(shared, tmp_path, 2, seed=3) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        "structalign:selection=heldout:heldout=0.25",
        "structalign-released:batch=8",
        "zscl:snapshots=3",
        "moe_adapter:experts=4",
    ],
)
def test_going_on_inside_a_task_equals_never_stopping(
    shared: Cli, tmp_path: Path, method: str
) -> None:
    """Killed when the second task has its first epoch behind it.

    The checkpoint inside the task is what it goes on from.
    """
    arguments = ("train", *TRAIN, "--method", method)
    whole = shared.json(*arguments, "--out", tmp_path / "whole")
    run_and_kill(
        shared,
        0,
        tmp_path / "cut" / "unfinished" / "02-0001",
        *arguments,
        "--out",
        tmp_path / "cut",
    )
    if not (tmp_path / "cut" / "results.json").exists():
        assert [folder.name for folder in (tmp_path / "cut" / "unfinished").glob("02-*")]
    resumed = shared.json(*arguments, "--out", tmp_path / "cut")
    assert without_seconds(resumed) == without_seconds(whole)
    assert bytes_of(tmp_path / "cut", "tasks/*/*.safetensors") == bytes_of(
        tmp_path / "whole", "tasks/*/*.safetensors"
    )
    epochs = [
        json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()
    ]
    assert sum(entry.get("epoch") == 1 and entry["task"] == 2 for entry in epochs) == 1

"""What is said while long work runs: losses and recall for people, nothing under --json."""

import json
from pathlib import Path

import pytest
from helpers.cli import QUICK, TWO_EPOCHS, Cli


@pytest.mark.slow
def test_json_leaves_stderr_empty_and_plain_output_tells_losses_and_recall(
    shared: Cli, tmp_path: Path
) -> None:
    quiet = shared("train", *QUICK, *TWO_EPOCHS, "--out", tmp_path / "a", "--json")
    assert quiet.stderr == "" and json.loads(quiet.stdout)["tasks"] == 2
    told = shared("train", *QUICK, *TWO_EPOCHS, "--out", tmp_path / "b").stderr
    assert "task 2, epoch 2, loss " in told and "after task 1" in told
    assert f"next: structalign report {tmp_path / 'b'}, structalign search" in told
    assert "task 1: R@1 " in told and "over 8 clips, zero-shot " in told
    log = [json.loads(line) for line in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    assert [(entry["task"], entry["epoch"]) for entry in log] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {"contrastive", "etf", "seconds"} <= set(log[0]) and "crp" in log[-1]


@pytest.mark.slow
def test_a_run_that_learns_hardly_anything_says_so(shared: Cli, tmp_path: Path) -> None:
    """Rates far too low for a backbone: gates stayed at 1e-5 for 12 epochs, without a word."""
    rates = ("lr_text", "lr_vision", "lr_other")
    low = [part for name in rates for part in ("--set", f"{name}=1e-9")]
    line = ("train", "--tasks", "2", "--set", "epochs=2", *low, "--set", "dropout=0")
    told = shared(*line, "--out", tmp_path / "low").stderr
    assert "hardly anything was learnt; try higher lr_text" in told
    fine = shared(
        "train", *QUICK, *TWO_EPOCHS, "--set", "dropout=0", "--out", tmp_path / "f"
    ).stderr
    assert "hardly anything" not in fine

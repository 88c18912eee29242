"""What is said while long work runs: calm lines, nothing under --json, TensorBoard events for those who ask."""

import json
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cli import _Progress
from tests.conftest import Cli
from tests.end_to_end.test_pipeline import QUICK


def test_ten_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = _Progress("extract", "clips", quiet=False)
    for done in range(0, 201):
        progress(done, 200, "3 quarantined")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11 and lines[0] == "extract: 0 of 200 clips, 3 quarantined" and lines[-1] == "extract: 200 of 200 clips, 3 quarantined"
    assert "\r" not in "".join(lines)


def test_rate_and_time_left_count_from_where_it_went_on(capsys: pytest.CaptureFixture[str]) -> None:
    progress = _Progress("extract", "clips", quiet=False)
    progress(100, 200)  # done by an earlier process
    time.sleep(0.2)
    progress(120, 200)
    last = capsys.readouterr().err.splitlines()[-1]
    pace = float(last.split(", ")[1].removesuffix(" clips/s"))
    assert 20 < pace <= 100 and last.endswith(" s left")


def test_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    _Progress("train", "epochs", quiet=True)(1, 2, "loss 1")
    assert capsys.readouterr().err == ""


def test_json_leaves_stderr_empty_and_plain_output_tells_losses_and_recall(shared: Cli, tmp_path: Path) -> None:
    quiet = shared("train", *QUICK, "--out", tmp_path / "a", "--json")
    assert quiet.stderr == "" and json.loads(quiet.stdout)["tasks"] == 2
    told = shared("train", *QUICK, "--out", tmp_path / "b", "--log", "tensorboard")
    assert "task 2, epoch 2, loss " in told.stderr and "R@1 " in told.stderr and "after task 1" in told.stderr
    events = EventAccumulator(str(tmp_path / "b" / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/contrastive", "train/crp", "t2v/R@1", "v2t/R@1"} <= tags
    assert [event.step for event in events.Scalars("t2v/R@1")] == [0, 1, 2] and len(events.Scalars("train/contrastive")) == 4

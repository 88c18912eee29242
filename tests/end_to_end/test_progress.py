"""What is said while long work runs: calm lines, nothing under --json, TensorBoard events for those who ask."""

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import Cli
from tests.end_to_end.test_pipeline import QUICK


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

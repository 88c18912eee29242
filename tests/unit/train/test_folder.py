"""A run's folder: stages in their order, and folders that this version does not read."""

import json
import os
from pathlib import Path

import pytest
from helpers.cli import QUICK, Cli
from structalign.core.errors import StructAlignError
from structalign.train.runs.folder import RunFolder, newest_run, read_run_config


def test_stages_keep_their_order_beyond_99(tmp_path: Path) -> None:
    """Files sort 100 before 11."""
    folder = RunFolder(tmp_path)
    for number in (1, 11, 99, 100, 101):
        folder.save_stage({"stage": number})
    assert list(folder.stages()) == [1, 11, 99, 100, 101]


def test_a_run_of_an_earlier_version_says_what_to_do(shared: Cli, tmp_path: Path) -> None:
    """Versions 0.1 and 0.2 wrote no ``parts``; --overwrite needs nothing of what is there."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"method": "zeroshot", "algorithm": "zeroshot"}))
    with pytest.raises(StructAlignError, match=r"version 0\.2 or earlier.*--overwrite"):
        read_run_config(run)
    line = ("train", *QUICK[:2], "--method", "zeroshot", "--out", run)
    assert "version 0.2 or earlier" in shared.error(*line)
    assert shared.json(*line, "--overwrite")["tasks"] == 2


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StructAlignError, match="is not a run; train one, or name its folder"):
        read_run_config(tmp_path)


def unfinished(path: Path, tasks: int, finished: int, at: int, measured: bool = True) -> Path:
    """A run's folder of a given age, as far as it is looked at."""
    for number in range(finished):
        (path / "tasks" / f"{number + 1:02d}").mkdir(parents=True)
    parts = [{"tasks": [["music"]] * tasks}]
    (path / "config.json").write_text(json.dumps({"parts": parts}))
    if measured:
        (path / "results.json").write_text("{}")
    for file in path.glob("*.json"):
        os.utime(file, (at, at))
    return path


def test_the_newest_run_is_a_finished_one(tmp_path: Path) -> None:
    """``eval``, ``search`` and ``report`` took a run in the middle of its training."""
    with pytest.raises(StructAlignError, match="no run under"):
        newest_run(tmp_path)
    begun = unfinished(tmp_path / "begun", 3, 2, at=5000)
    assert newest_run(tmp_path) == begun
    unfinished(tmp_path / "old", 2, 2, at=1000)
    newer = unfinished(tmp_path / "newer", 2, 2, at=2000)
    unfinished(tmp_path / "unmeasured", 2, 2, at=4000, measured=False)
    (unfinished(tmp_path / "broken", 1, 1, at=3000) / "config.json").write_text("{")
    assert newest_run(tmp_path) == newer

"""A run's folder: stages in their order, and folders that this version does not read."""

import json
from pathlib import Path

import pytest
from helpers.cli import QUICK, Cli
from structalign.core.errors import StructAlignError
from structalign.train.runs.folder import RunFolder, read_run_config


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

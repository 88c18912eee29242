"""Measuring again writes under the run's lease, and a report reads a run that is growing."""

from pathlib import Path

import pytest
from helpers.cli import Cli
from helpers.runs import quick_run, shared_cache
from structalign.core.errors import StructAlignError
from structalign.evaluate import evaluate
from structalign.evaluate.report.page import write_report
from structalign.evaluate.results import read_results
from structalign.train.runs.folder import acquire_lease
from structalign.train.runs.run import Run


def test_what_another_process_trains_is_not_measured(shared: Cli, tmp_path: Path) -> None:
    """Else figures of fewer tasks could replace those that an append has just written."""
    run = quick_run(shared_cache(shared), tmp_path / "run")
    before = (run.path / "results.json").stat()
    with acquire_lease(run.path, "wait"):
        with pytest.raises(StructAlignError, match=r"is being trained by process .*wait for it"):
            evaluate(run)
        assert (run.path / "results.json").stat() == before
    assert evaluate(run).tasks == 2


def test_a_run_opened_before_an_append(shared: Cli, tmp_path: Path) -> None:
    """It stays as it was opened: it had -1 tasks left. Measured, it is as its folder has it."""
    first = quick_run(shared_cache(shared), tmp_path / "run", until=1)
    config = {**first.config, "parts": [{**first.config["parts"][0]}]}
    names = config["parts"][0]["tasks"]
    early = Run(first.path, {**config, "parts": [{**config["parts"][0], "tasks": names[:1]}]},
                first.caches, first.device)  # fmt: skip
    quick_run(shared_cache(shared), tmp_path / "run")
    assert early.finished == len(early.stream) == 1 and first.finished == 2
    assert len(early.gallery(early.finished).blocks) == 1


def test_a_report_while_a_cache_is_appended(shared: Cli, tmp_path: Path) -> None:
    """Its configuration names a cache of which nothing is learnt yet."""
    run = quick_run(shared_cache(shared), tmp_path / "run")
    parts = run.config["parts"]
    run.save_config({**run.config, "parts": [*parts, {**parts[0], "fingerprint": "0" * 64}]})
    with acquire_lease(run.path, "wait"):
        page = write_report([run.path], cache_root=shared.home / "cache")
    assert "finetune" in page.read_text()
    assert read_results(run.path)["tasks"] == 2

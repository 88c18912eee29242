"""A run that is trained and measured hands its data on; nothing is read back from disk."""

from pathlib import Path

import pytest
from helpers.cli import Cli
from helpers.runs import quick_run, shared_cache
from structalign.evaluate import evaluate
from structalign.train.gallery import Gallery
from structalign.train.runs.run import Run


def test_no_stored_block_is_read_at_a_stage(
    shared: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    gallery = Run.gallery

    def counted(self: Run, tasks: int, *rest: object, **more: object) -> Gallery:
        read.extend([tasks] * bool(tasks))
        return gallery(self, tasks, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "gallery", counted)
    run = quick_run(shared_cache(shared), tmp_path / "run")
    assert run.finished == 2 and read == []


def test_a_continued_run_and_evaluating_again_give_the_same_figures(
    shared: Cli, tmp_path: Path
) -> None:
    cache = shared_cache(shared)
    whole = quick_run(cache, tmp_path / "whole")
    quick_run(cache, tmp_path / "halves", until=1)
    halves = quick_run(cache, tmp_path / "halves")
    files = [(run.path / "stages" / "02-answers.jsonl").read_text() for run in (whole, halves)]
    assert files[0] == files[1]
    figures = [evaluate(run).figures for run in (whole, halves)]
    assert figures[0] == figures[1] and figures[0]["t2v/stored/task"]["R@1"][2][1] is not None

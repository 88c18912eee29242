"""The training loop's events carry what measuring needs."""

from pathlib import Path

import torch
from helpers.cli import Cli
from structalign.cache import CacheRoot
from structalign.train.loop import TaskLearnt, train_stream
from structalign.train.runs.create import create_run


def test_a_finished_task_carries_the_gallery_of_a_resumed_run(shared: Cli, tmp_path: Path) -> None:
    """The same blocks as stored, those of an earlier session among them."""
    cache = CacheRoot(shared.home / "cache").find(None)
    settings = {"epochs": 1, "rank": 2}
    run = create_run(
        cache, "finetune", 2, out=tmp_path / "run", device="cpu", settings=settings,
        log=lambda line: None,
    )  # fmt: skip
    for until in (1, 2):
        events = [e for e in train_stream(run, until) if isinstance(e, TaskLearnt)]
        assert [event.task for event in events] == [until]
        carried, stored = events[0].gallery.blocks, run.gallery(until).blocks
        assert len(carried) == len(stored) == until
        for block, wanted in zip(carried, stored, strict=True):
            assert (block.task, block.clips) == (wanted.task, wanted.clips)
            assert torch.equal(block.embeddings, wanted.embeddings)

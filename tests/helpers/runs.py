"""Runs trained and measured in a moment."""

from pathlib import Path

from structalign.cache.reader import FeatureCache
from structalign.experiments.driver import train_and_measure
from structalign.train.runs.create import create_run
from structalign.train.runs.run import Run

from helpers.cli import Cli


def shared_cache(shared: Cli) -> FeatureCache:
    """The cache of the test videos."""
    return FeatureCache.open(shared.json("cache", "info")["path"])


def quick_run(
    cache: FeatureCache, folder: Path, until: int | None = None, **settings: object
) -> Run:
    """Finetune on two tasks for one epoch, in ``folder``; continued where it is there."""
    run = create_run(
        cache, "finetune", 2, out=folder, device="cpu", log=_quiet,
        settings={"epochs": 1, "lr_text": 3e-2, **settings},
    )  # fmt: skip
    train_and_measure(run, until, 1e9, _quiet, _quiet)
    return run


def _quiet(*_: object) -> None:
    """Show nothing."""

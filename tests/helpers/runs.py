"""Runs trained and measured in a moment."""

import json
from pathlib import Path

from structalign.cache.reader import FeatureCache
from structalign.core.signed_json import signed_text
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


def sign(file: Path, **changes: object) -> None:
    """Change values of a run's JSON file, so that its hash of itself fits again."""
    text = file.read_text()
    body = {key: value for key, value in json.loads(text).items() if key != "sha256"}
    file.write_text(signed_text(body | changes, 1 if text.startswith("{\n") else None))


def as_version_0_3(run: Path) -> None:
    """Take all checksums out of a run: that version wrote none."""
    for file in (run / "config.json", *run.glob("stages/*.json")):
        body = json.loads(file.read_text())
        for key in ("sha256", "checksums_from", "answers_sha256", "run_sha256"):
            body.pop(key, None)
        file.write_text(json.dumps(body))
    for file in (*run.glob("tasks/*/checksums.json"), run / "evaluated.json"):
        file.unlink()

"""The verbs as functions: one door for the command line and for Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.console import Log, Progress, ProgressLine, log_to_stderr
from .evaluate import evaluate
from .extract import extract
from .search import search

if TYPE_CHECKING:
    from .cache.reader import FeatureCache
    from .train.runs.run import Run
    from .train.task_plan import Tasks

__all__ = ["append", "evaluate", "extract", "search", "train", "with_decoder"]


def train(
    cache: "FeatureCache",
    method: str = "structalign",
    tasks: "Tasks" = 10,
    *,
    order: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    runs: str | Path | None = None,
    until: int | None = None,
    overwrite: bool = False,
    device: str = "auto",
    checkpoint_every: float = 60.0,
    progress: Progress | None = None,
    note: Log | None = None,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> "Run":
    """Train a method on a cache's categories and measure it after every task.

    A run that exists is resumed.

    Args:
        cache: what to learn from.
        method: a name from ``configs/methods``, or the path of a .py file with one ``Method``.
        tasks: K, as equal as can be, or the number of categories of each task.
        order: of the categories: the catalog's, ``shuffled:SEED``, or a file with one a line.
        seed: of initialisation, batches, noise and replay.
        out: the run's folder; by default named after what is run, under ``runs``.
        runs: by default STRUCTALIGN_RUNS, else ./runs.
        until: stop after this task; without it a later call continues.
        overwrite: begin anew where a run exists.
        device: auto, cpu or cuda.
        checkpoint_every: seconds between checkpoints inside a task.
        progress: called with (done, total, detail) after each epoch; a line on stderr by default.
        note: called with what a person should know, a line at a time; stderr by default.
        settings: changes of the method's settings, by name.
        changes: the same as keywords, such as ``epochs=3``.

    Returns:
        The run, with its ``results.json``.

    Raises:
        StructAlignError: a method, setting or task count that does not fit, or another
            configuration in ``out``.
    """
    from .train.runs.create import create_run

    report = note or log_to_stderr
    run = create_run(
        cache,
        method,
        tasks,
        seed,
        out,
        runs,
        overwrite,
        device,
        {**(settings or {}), **changes},
        report,
        order,
    )
    return _learn(run, until, checkpoint_every, progress, report)


def append(
    run: "Run | str | Path",
    cache: "FeatureCache",
    tasks: "Tasks" = 1,
    *,
    order: str | None = None,
    checkpoint_every: float = 60.0,
    progress: Progress | None = None,
    note: Log | None = None,
) -> "Run":
    """Teach a finished run the categories of another cache as its next tasks.

    Tokens of earlier caches are not read. Interrupted or killed, the run is as it was before with
    the new tasks that were finished, and the same call goes on. A category that the run knows is
    more of the same class.

    Args:
        run: a run with all its tasks learnt, or its folder.
        cache: with the backbone, cut and preprocessing of the run's own.
        tasks: how many tasks, as equal as can be, or the number of categories of each.
        order: as for ``train``.
        checkpoint_every: seconds between checkpoints inside a task.
        progress: called with (done, total, detail) after each epoch; a line on stderr by default.
        note: called with what a person should know, a line at a time; stderr by default.

    Returns:
        The run, grown, with its ``results.json``.

    Raises:
        StructAlignError: a run with tasks left; a cache that it has had, or of another backbone.
    """
    from .train.runs.extend import extend_run
    from .train.runs.run import Run

    opened = run if isinstance(run, Run) else Run.open(run)
    report = note or log_to_stderr
    grown = extend_run(opened, cache, tasks, order, report)
    return _learn(grown, None, checkpoint_every, progress, report)


def _learn(
    run: "Run", until: int | None, checkpoint_every: float, progress: Progress | None, log: Log
) -> "Run":
    from .experiments.driver import train_and_measure
    from .search.searcher import prepare_search

    tell = progress or ProgressLine("train", "epochs", quiet=False)
    train_and_measure(run, until, checkpoint_every, tell, log)
    prepare_search(run, log)
    return with_decoder(run)


def with_decoder(run: "Run") -> "Run":
    """The run, able to encode videos that are in no cache: training does not know decoding."""
    run.video_tokens = _video_tokens
    return run


def _video_tokens(
    cache: "FeatureCache", video: Path, start: float | None, end: float | None
) -> Any:
    from .extract.new_video import new_video_tokens

    return new_video_tokens(cache, video, start, end)

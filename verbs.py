"""The verbs as functions: what Python and the command line both call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.console import Log, Progress, ProgressLine, log_to_stderr
from .core.defaults import CHECKPOINT_EVERY, DEVICE, METHOD, SEED, SEEDS, TASKS
from .evaluate import evaluate
from .extract import extract
from .search import search

if TYPE_CHECKING:
    from .cache.reader import FeatureCache
    from .train.runs.run import Run
    from .train.task_plan import Tasks

__all__ = [
    "append", "evaluate", "extract", "open_cache", "open_run", "report", "search", "sweep", "train",
]  # fmt: skip


def open_cache(
    reference: str | Path | None = None, cache_root: str | Path | None = None
) -> "FeatureCache":
    """A published cache.

    Args:
        reference: its folder or URL, (the beginning of) its fingerprint, or its dataset's name; by
            default the newest.
        cache_root: by default STRUCTALIGN_CACHE, else ~/.cache/structalign.

    Raises StructAlignError: no such cache, or it is damaged.
    """
    from .cache.root import CacheRoot

    return CacheRoot(cache_root).find(None if reference is None else str(reference))


def open_run(
    path: str | Path | None = None,
    cache: "FeatureCache | str | None" = None,
    cache_root: str | Path | None = None,
    device: str = DEVICE,
) -> "Run":
    """A run, to be evaluated, searched, or used to encode texts and videos.

    Args:
        path: its folder; by default the newest finished one under STRUCTALIGN_RUNS, else ./runs.
        cache: its cache, if that is no longer where the cache root has it.
        cache_root: by default STRUCTALIGN_CACHE, else ~/.cache/structalign.
        device: auto, cpu or cuda.

    Raises StructAlignError: no run, or its cache is missing.
    """
    from .train.runs.folder import newest_run, runs_folder
    from .train.runs.run import Run

    return _with_decoder(Run.open(path or newest_run(runs_folder()), cache, cache_root, device))


def open_run_and_cache(
    path: Path, cache: str | None, cache_root: Path | None = None, device: str = DEVICE
) -> "tuple[Run, FeatureCache | None]":
    """A run and the cache to search beside its own; None where ``cache`` is the run's own."""
    from .train.runs.folder import read_run_config

    named = open_cache(cache, cache_root) if cache else None
    own = [part["fingerprint"] for part in read_run_config(path)["parts"]]
    if named is not None and named.fingerprint not in own:
        return open_run(path, None, cache_root, device), named
    return open_run(path, named, cache_root, device), None


def train(
    cache: "FeatureCache",
    method: str = METHOD,
    tasks: "Tasks" = TASKS,
    *,
    order: str | None = None,
    seed: int = SEED,
    out: str | Path | None = None,
    runs: str | Path | None = None,
    until: int | None = None,
    overwrite: bool = False,
    device: str = DEVICE,
    checkpoint_every: float = CHECKPOINT_EVERY,
    progress: Progress | None = None,
    note: Log | None = None,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> "Run":
    """Train a method on a cache's categories, measure it after every task, and return the run.

    It then has its ``results.json``. A run that exists is resumed.

    Args:
        cache: what to learn from.
        method: a name from ``configs/methods``, or the path of a .py file with one ``Method``.
        tasks: K, for K tasks as equal as can be, or the number of categories of each task.
        order: of the categories: by default the catalog's; ``shuffled:SEED``, or a file with one
            category per line.
        seed: of initialisation, batches, noise and replay.
        out: the run's folder; by default named after method, data and seed, under ``runs``.
        runs: by default STRUCTALIGN_RUNS, else ./runs.
        until: stop after this task; a later call without it continues.
        overwrite: delete the run that exists and start again.
        device: auto, cpu or cuda.
        checkpoint_every: seconds between checkpoints inside a task.
        progress: called with (done, total, detail) after each epoch; by default a line on stderr.
        note: called with each message for the user; by default printed on stderr.
        settings: changes of the method's settings, by name.
        changes: further changes as keywords, such as ``epochs=3``.

    Raises StructAlignError: a method, setting or task count that does not fit, or ``out`` holds a
    run with another configuration.
    """
    from .train.runs.create import create_run

    log = note or log_to_stderr
    run = create_run(
        cache, method, tasks, seed, out, runs, overwrite, device, {**(settings or {}), **changes},
        log, order,
    )  # fmt: skip
    return _train_and_measure(run, until, checkpoint_every, progress, log)


def append(
    run: "Run | str | Path",
    cache: "FeatureCache",
    tasks: "Tasks" = 1,
    *,
    order: str | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    progress: Progress | None = None,
    note: Log | None = None,
) -> "Run":
    """Train a finished run on the categories of another cache, as its next tasks, and return it.

    Tokens of earlier caches are not read. If it is interrupted or killed, the run keeps the new
    tasks that were finished, and the same call continues. A category that the run already has gets
    more clips of the same class.

    Args:
        run: a run whose tasks are all finished, or its folder.
        cache: with the same backbone, cut and preprocessing as the run's own.
        tasks: how many tasks, as equal as can be, or the number of categories of each.
        order, checkpoint_every, progress, note: as for ``train``.

    Raises StructAlignError: unfinished tasks; a cache that the run already has, or of another
    backbone.
    """
    from .train.runs.create import extend_run
    from .train.runs.run import Run

    opened = run if isinstance(run, Run) else Run.open(run)
    log = note or log_to_stderr
    extended = extend_run(opened, cache, tasks, order, log)
    return _train_and_measure(extended, None, checkpoint_every, progress, log)


def report(
    runs: Sequence[str | Path], out: str | Path | None = None, cache_root: str | Path | None = None
) -> Path:
    """Write one self-contained HTML page about finished runs, and return its path.

    Args:
        runs: folders of runs, or of sweeps, which stand for all of their runs.
        out: the file; by default report.html in the folder, or in this folder for several.
        cache_root: as for ``open_cache``.

    Raises StructAlignError: a folder that is not a run or has no results, or runs that cannot stand
    in one table.
    """
    from .evaluate.report.finished_runs import runs_of
    from .evaluate.report.page import write_report
    from .search.thumbnails import middle_frames

    paths = [path for run in runs for path in runs_of(Path(run))]
    folder = Path(runs[0]) if len(runs) == 1 else Path()
    target = Path(out) if out else folder / "report.html"
    return write_report(paths, target, cache_root, middle_frames)


def sweep(
    methods: Sequence[str],
    tasks: "Tasks" = TASKS,
    *,
    caches: "Sequence[FeatureCache | str] | None" = None,
    seeds: Sequence[int] = SEEDS,
    orders: Sequence[int] = (),
    grid: Mapping[str, Sequence[Any]] | None = None,
    choose: "FeatureCache | str | None" = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    runs: str | Path | None = None,
    cache_root: str | Path | None = None,
    device: str = DEVICE,
    ray_address: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every combination of methods, seeds, orders and caches through Ray; keep finished runs.

    Returns the content of ``sweep.json``, and ``file``, its path.

    Args:
        methods: names from ``configs/methods``, or paths of .py files.
        tasks: as for ``train``.
        caches: caches or their references; by default the newest.
        seeds: training seeds.
        orders: seeds of class orders, each a run of its own; by default the catalog's order.
        grid: values by setting name (``a+b`` gives several settings the same value).
        choose: choose each method's values from ``grid`` by R@1 over this cache's held-out
            training clips; without it each combination of values is a row of its own.
        settings: changes of the settings of all methods.
        out: where runs, ``sweep.json`` and ``sweep.csv`` go; by default the folder sweep under
            ``runs``.
        runs: by default STRUCTALIGN_RUNS, else ./runs.
        cache_root: by default STRUCTALIGN_CACHE, else ~/.cache/structalign.
        device: auto, cpu or cuda; one core or one GPU per run.
        ray_address: join this Ray cluster instead of starting one.
        progress: called with (done, total, detail) after each run; by default a line on stderr.

    Raises StructAlignError: an unknown method, setting, cache or device, before anything runs; or,
    after all runs have ended, which failed, and why.
    """
    from .core.device import resolve_device
    from .experiments.sweep import sweep as run_sweep
    from .train.runs.folder import runs_folder

    def opened(cache: "FeatureCache | str") -> "FeatureCache":
        return open_cache(cache, cache_root) if isinstance(cache, str) else cache

    folder = Path(out) if out else runs_folder(runs) / "sweep"
    opened_caches = [opened(cache) for cache in caches or ()] or [open_cache(None, cache_root)]
    body = run_sweep(
        opened_caches, methods, seeds, tasks, folder,
        orders=orders, grid=grid, choose_on=None if choose is None else opened(choose),
        device=resolve_device(device).type, ray_address=ray_address, settings=settings,
        progress=progress,
    )  # fmt: skip
    return {**body, "file": str(folder / "sweep.json")}


def _train_and_measure(
    run: "Run", until: int | None, checkpoint_every: float, progress: Progress | None, log: Log
) -> "Run":
    from .experiments.driver import train_and_measure
    from .search.searcher import prepare_search

    progress = progress or ProgressLine("train", "epochs")
    train_and_measure(run, until, checkpoint_every, progress, log)
    prepare_search(run, log)
    return _with_decoder(run)


def _with_decoder(run: "Run") -> "Run":
    """The run, able to encode videos that are in no cache: the training room cannot decode."""
    run.video_tokens = _video_tokens
    return run


def _video_tokens(
    cache: "FeatureCache", video: Path, start: float | None, end: float | None
) -> Any:
    from .extract.new_video import new_video_tokens

    return new_video_tokens(cache, video, start, end)

"""A run's folder on disk: configuration, finished tasks, measured stages, the training log."""

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.console import Log, log_to_stderr
from ...core.errors import StructAlignError
from ...core.files import read_json, write_text
from ...core.hashing import sha256_of
from ...core.lease import Lease
from ...core.signed_json import signed_text
from .checksums import CHECKSUMS, damaged, identity, read_checksums, read_signed

ENVIRONMENT, DEFAULT = "STRUCTALIGN_RUNS", "runs"
ANSWERS_SHA256 = "answers_sha256"  # of a stage's query results
RUN_SHA256 = "run_sha256"  # of a stage and of the results: the run's identity
CHECKSUMS_FROM = "checksums_from"  # the first task with checksums: version 0.3 wrote none
LOGS = ("log.jsonl", "sessions.jsonl")
RESULTS, EVALUATED, RESULTS_SHA256 = "results.json", "evaluated.json", "results_sha256"
INDEX, INDEX_FILE = "index", "index.json"
METHOD_COPY, UNFINISHED = "method.py", "unfinished"
TRACEBACK = "traceback.txt"  # of the exception that ended a sweep's run
SET_ASIDE = ".overwritten"  # a replaced run, until the new one is written


def runs_folder(path: str | Path | None = None) -> Path:
    """The folder of runs: by default STRUCTALIGN_RUNS, else ./runs. Refuses a file."""
    folder = Path(path or os.environ.get(ENVIRONMENT) or DEFAULT)
    if folder.exists() and not folder.is_dir():
        raise StructAlignError(f"folder of runs {folder} is a file; give a folder")
    return folder


def newest_run(folder: Path) -> Path:
    """The finished run that was created or measured last; where none is finished, an unfinished.

    Raises StructAlignError when there is none.
    """
    runs = [file.parent for file in folder.glob("*/config.json")]
    if not runs:
        raise StructAlignError(f"no run under {folder}; run 'train' first, or name a run's folder")

    def changed(run: Path) -> int:
        files = (run / "config.json", run / RESULTS)
        return max(file.stat().st_mtime_ns for file in files if file.exists())

    newest_first = sorted(runs, key=changed, reverse=True)
    return next(filter(is_finished, newest_first), newest_first[0])


def is_finished(run: Path) -> bool:
    """Whether a run's tasks are all learnt and measured; False also where it cannot be read."""
    try:
        tasks = sum(len(part["tasks"]) for part in read_run_config(run)["parts"])
    except (StructAlignError, KeyError, TypeError):
        return False
    return RunFolder(run).finished >= tasks and (run / RESULTS).is_file()


def runs_that_need(fingerprint: str, folder: Path) -> list[Path]:
    """The runs below a folder, those of sweeps too, that were trained on a cache.

    ``fingerprint`` may be its beginning.
    """
    needing = []
    for depth in ("*", "*/*", "*/*/*"):  # a sweep's tries lie deepest
        for file in sorted(folder.glob(f"{depth}/config.json")):
            try:
                parts = read_run_config(file.parent)["parts"]
            except StructAlignError:
                continue
            if any(part["fingerprint"].startswith(fingerprint) for part in parts):
                needing.append(file.parent)
    return needing


def read_run_config(run: Path) -> dict[str, Any]:
    """A run's configuration. Raises StructAlignError for no run, an old one, or a changed file."""
    config = _stored_config(run)
    config.pop(CHECKSUMS_FROM, None)
    return config


def _stored_config(run: Path) -> dict[str, Any]:
    """The content of ``config.json``, with the first task that has checksums."""
    file = run / "config.json"
    try:
        config = dict(read_json(file))
    except (OSError, ValueError, TypeError) as error:
        raise StructAlignError(f"{run} is not a run; train one, or name its folder") from error
    if "parts" not in config and CHECKSUMS_FROM not in config:
        raise StructAlignError(
            f"run {run} was written by version 0.2 or earlier, which this version does not read; "
            "train it again with --overwrite"
        )
    try:
        return read_signed(file, 1, CHECKSUMS_FROM in config)
    except (OSError, ValueError, TypeError) as error:
        raise damaged(file, error) from error


def query_results_file(run: Path, stage: int) -> Path:
    """The file with the query results of a stage's captions, one line each."""
    return run / "stages" / f"{stage:02d}-answers.jsonl"


def read_part(file: Path) -> Any:
    """The JSON in a file of a run. Raises StructAlignError when it cannot be read."""
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise damaged(file, error) from error


def acquire_lease(run: Path, advice: str, log: Log = log_to_stderr) -> Lease:
    """The right to train or measure a run, or to replace it.

    A holder of which only a file is left is waited for, then succeeded. Raises StructAlignError,
    which ends with ``advice``, if another process trains or measures it.
    """
    lease = Lease(run, "lease")
    waited_for: list[str] = []

    def wait(holder: str) -> None:
        waited_for.append(holder)
        log(f"run {run} is held by {holder}; waiting up to {lease.timeout:.0f} s for a sign of it")

    if not lease.acquire_unless_held(wait):
        raise StructAlignError(
            f"run {run} is being trained by {lease.holder()}, or measured; {advice}"
        )
    if waited_for:
        log(f"run {run}: {waited_for[0]} gave no sign or has ended; taken over")
    return lease


def check_usable(path: Path) -> None:
    """Raises StructAlignError for a folder that is no run, and not empty either."""
    if not path.exists() or (path / "config.json").is_file():
        return
    leftovers = (".config.json.", ".lease.", "lease.", SET_ASIDE, TRACEBACK)
    if not path.is_dir() or any(not e.name.startswith(leftovers) for e in path.iterdir()):
        raise StructAlignError(f"{path} is a folder with something else in it; give another --out")


class RunFolder:
    """``config.json``, ``tasks/NN/`` of each finished task, ``stages/NN.json``, ``log.jsonl``.

    ``stages/NN-answers.jsonl`` has the query results of each caption, ``sessions.jsonl`` where
    each training session ran.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def finished(self) -> int:
        """Number of finished tasks."""
        count = 0
        while self.task_folder(count + 1).is_dir():
            count += 1
        return count

    def task_folder(self, number: int) -> Path:
        """The folder of a finished task: method state and gallery blocks."""
        return self.path / "tasks" / f"{number:02d}"

    def save_config(self, config: Mapping[str, Any]) -> None:
        """Write ``config.json`` atomically."""
        first = 1
        if (self.path / "config.json").is_file():
            first = _stored_config(self.path).get(CHECKSUMS_FROM, self.finished + 1)
        text = signed_text({**config, CHECKSUMS_FROM: first})
        write_text(self.path / "config.json", text)

    @property
    def checksums(self) -> tuple[float, str]:
        """The first task whose files must have checksums, infinite where none must; the run's
        identity, which its files carry."""
        try:
            stored = _stored_config(self.path)
        except StructAlignError:
            return math.inf, ""
        return stored.get(CHECKSUMS_FROM, math.inf), identity(stored)

    def task_checksums(self, number: int) -> dict[str, str] | None:
        """The sha256 of a finished task's files by name; None where version 0.3 wrote them.

        Raises:
            StructAlignError: they are missing or damaged, or of another task or run.
        """
        folder, stored = self.task_folder(number), _stored_config(self.path)
        body = read_checksums(folder, task=number, run=identity(stored))
        if body is None and number >= stored.get(CHECKSUMS_FROM, math.inf):
            raise damaged(folder / CHECKSUMS, "it is missing")
        return None if body is None else body["files"]

    def log_sizes(self) -> dict[str, tuple[int, str]]:
        """Size and sha256 of each log as it is now."""
        files = [self.path / name for name in LOGS if (self.path / name).is_file()]
        return {file.name: (file.stat().st_size, sha256_of(file)) for file in files}

    def check_tasks(self) -> None:
        """Raises StructAlignError where a task that was finished is not there any more."""
        folders = (self.path / "tasks").glob("[0-9]*")
        known = [int(path.stem) for path in (*folders, *self._stage_files()) if path.stem.isdigit()]
        if (lost := self.finished + 1) <= max(known, default=0):
            folder = self.task_folder(lost)
            raise StructAlignError(f"{folder} is missing; restore it, or train again")

    def set_aside(self) -> None:
        """Move away all but the lease; the configuration last: when killed, it is still a run."""
        self.clear_set_aside()
        aside = self.path / SET_ASIDE
        aside.mkdir()
        entries = [e for e in self.path.iterdir() if not e.name.startswith((SET_ASIDE, "lease."))]
        for entry in sorted(entries, key=lambda entry: entry.name == "config.json"):
            if not entry.name.startswith(".lease."):
                entry.rename(aside / entry.name)

    def clear_set_aside(self) -> None:
        """Delete what ``set_aside`` moved."""
        shutil.rmtree(self.path / SET_ASIDE, ignore_errors=True)

    def save_stage(self, stage: dict[str, Any]) -> None:
        """Write what was measured after a task, its captions' ``answers`` to their own file."""
        (self.path / "stages").mkdir(exist_ok=True)
        figures = {key: value for key, value in stage.items() if key != "answers"}
        if "answers" in stage:
            file = query_results_file(self.path, stage["stage"])
            write_text(file, "".join(json.dumps(answer) + "\n" for answer in stage["answers"]))
            figures[ANSWERS_SHA256] = sha256_of(file)
        _, figures[RUN_SHA256] = self.checksums
        write_text(self.stage_file(stage["stage"]), signed_text(figures, indent=None))

    def stage_file(self, number: int) -> Path:
        """The file of what was measured after a task."""
        return self.path / "stages" / f"{number:02d}.json"

    def stage(self, number: int) -> dict[str, Any]:
        """What was measured after a task. Raises StructAlignError if it is damaged or missing."""
        file = self.stage_file(number)
        try:
            first, run = self.checksums
            stage = read_signed(file, None, number >= first)
            if stage["stage"] != number:
                raise ValueError(f"it is of stage {stage['stage']}")
            if stage.pop(RUN_SHA256, None) != run and number >= first:
                raise ValueError("it is of another run")
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise damaged(file, error) from error
        return stage

    def stages(self) -> dict[int, dict[str, Any]]:
        """What was measured so far, by stage, in ascending order."""
        return {
            number: self.stage(number)
            for number in sorted(int(file.stem) for file in self._stage_files())
        }

    def _stage_files(self) -> list[Path]:
        return list((self.path / "stages").glob("[0-9]*.json"))

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to the training log."""
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

"""A run's folder on disk: configuration, finished tasks, measured stages, the training log."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ...core.console import Log, log_to_stderr
from ...core.errors import StructAlignError
from ...core.files import read_json, write_text
from ...core.lease import Lease

ENVIRONMENT, DEFAULT = "STRUCTALIGN_RUNS", "runs"
SET_ASIDE = ".overwritten"  # a replaced run, until the new one is written


def runs_folder(path: str | Path | None = None) -> Path:
    """The folder of runs: by default STRUCTALIGN_RUNS, else ./runs."""
    return Path(path or os.environ.get(ENVIRONMENT) or DEFAULT)


def newest_run(folder: Path) -> Path:
    """The run that was created or measured last. Raises StructAlignError when there is none."""
    runs = [file.parent for file in folder.glob("*/config.json")]
    if not runs:
        raise StructAlignError(f"no run under {folder}; run 'train' first, or name a run's folder")

    def changed(run: Path) -> int:
        files = (run / "config.json", run / "results.json")
        return max(file.stat().st_mtime_ns for file in files if file.exists())

    return max(runs, key=changed)


def read_run_config(run: Path) -> dict[str, Any]:
    """A run's configuration.

    Raises:
        StructAlignError: the folder is not a run, or holds one of version 0.2 or earlier.
    """
    try:
        config = dict(read_json(run / "config.json"))
    except (OSError, ValueError, TypeError) as error:
        raise StructAlignError(f"{run} is not a run; train one, or name its folder") from error
    if "parts" not in config:
        raise StructAlignError(
            f"run {run} was written by version 0.2 or earlier, which this version does not read; "
            "train it again with --overwrite"
        )
    return config


def query_results_file(run: Path, stage: int) -> Path:
    """The file with the query results of a stage's captions, one line each."""
    return run / "stages" / f"{stage:02d}-answers.jsonl"


def read_part(file: Path) -> Any:
    """The JSON in a file of a run. Raises StructAlignError when it cannot be read."""
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise StructAlignError(
            f"{file} is damaged ({error}); restore it, or train again"
        ) from error


def acquire_lease(run: Path, advice: str, log: Log = log_to_stderr) -> Lease:
    """The right to train a run, or to replace it.

    A holder of which only a file is left (another boot, host or container) is waited for, and then
    succeeded; ``log`` is called with both.

    Raises:
        StructAlignError: another process trains it; the message ends with ``advice``.
    """
    lease = Lease(run, "lease")
    waited_for: list[str] = []

    def wait(holder: str) -> None:
        waited_for.append(holder)
        log(f"run {run} is held by {holder}; waiting up to {lease.timeout:.0f} s for a sign of it")

    if not lease.acquire_unless_held(wait):
        raise StructAlignError(f"run {run} is being trained by {lease.holder()}; {advice}")
    if waited_for:
        log(f"run {run}: {waited_for[0]} gave no sign or has ended; taken over")
    return lease


def check_usable(path: Path) -> None:
    """Raises StructAlignError for a folder that is no run, and not empty either."""
    if not path.exists() or (path / "config.json").is_file():
        return
    leftovers = (".config.json.", ".lease.", "lease.", SET_ASIDE)
    if not path.is_dir() or any(not e.name.startswith(leftovers) for e in path.iterdir()):
        raise StructAlignError(f"{path} is a folder with something else in it; give another --out")


class RunFolder:
    """``config.json``, ``tasks/NN/`` of each finished task, ``stages/NN.json``, ``log.jsonl``.

    ``stages/NN-answers.jsonl`` has the query results of each caption, ``sessions.jsonl`` the
    machine and package versions of each training session.
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

    def set_aside(self) -> None:
        """Move all that a run holds out of the way, except the lease, which its caller holds.

        The configuration goes last: killed in between, the folder is still a run.
        """
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
        if "answers" in stage:
            lines = [json.dumps(answer) + "\n" for answer in stage["answers"]]
            write_text(query_results_file(self.path, stage["stage"]), "".join(lines))
        figures = {key: value for key, value in stage.items() if key != "answers"}
        write_text(self.path / "stages" / f"{stage['stage']:02d}.json", json.dumps(figures) + "\n")

    def stages(self) -> dict[int, dict[str, Any]]:
        """What was measured so far, by stage, in ascending order."""
        files = (self.path / "stages").glob("[0-9]*.json")
        read = [read_part(file) for file in sorted(files, key=lambda file: int(file.stem))]
        return {stage["stage"]: stage for stage in read}

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to the training log."""
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

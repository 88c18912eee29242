"""Finding every file of a run that is not as it was written."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...core.files import read_bytes, read_json
from ...core.signed_json import DIGEST, parse_signed_text
from .checksums import CHECKSUMS, identity
from .folder import (
    ANSWERS_SHA256,
    CHECKSUMS_FROM,
    EVALUATED,
    INDEX,
    INDEX_FILE,
    LOGS,
    METHOD_COPY,
    RESULTS,
    RESULTS_SHA256,
    RUN_SHA256,
    UNFINISHED,
    RunFolder,
    query_results_file,
    read_run_config,
)  # fmt: skip

OWN_FOLDERS = ("tasks", "stages", INDEX, UNFINISHED)


@dataclass
class RunReport:
    """Files of a run by what is wrong with them, as paths relative to its folder.

    Attributes:
        damaged: not as they were written, or of another task or run.
        missing: written, and not there.
        foreign: in a folder of the run's own, and not written by it.
        unchecked: without a checksum, as all files of version 0.3.
    """

    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The lists, and ``ok``: whether every file that has a checksum is as it was written."""
        return {"ok": not (self.damaged or self.missing or self.foreign), **asdict(self)}


def verify_run(run: Path) -> RunReport:
    """Read all files of a run. Raises StructAlignError if the folder is not one."""
    if not run.is_dir():
        read_run_config(run)  # raises
    files = _Files(run)
    config = files.signed("config.json", is_required=False)
    if not config and "config.json" not in files.report.damaged:
        config = read_run_config(run)
    first, run_sha256 = config.get(CHECKSUMS_FROM, math.inf), identity(config) if config else None
    measured = _measured_tasks(run)
    logs: Mapping[str, Any] = {}
    for number in range(1, max(_last_task(run), measured) + 1):
        folder = RunFolder(run).task_folder(number)
        body = files.folder(folder, CHECKSUMS, number >= first)
        is_of_another = body.get("task") != number or run_sha256 not in (None, body["run"])
        if body and is_of_another:
            files.report.damaged.append(files.name(folder / CHECKSUMS))
        logs = body.get("logs") or logs
        # The last task of an interrupted training may lack its stage.
        is_last = number > measured and number == _last_task(run)
        if not is_last or RunFolder(run).stage_file(number).exists():
            _check_stage(files, number, run_sha256 if number >= first else None)
    for name in LOGS:
        files.beginning(name, *logs.get(name, (0, None)))
    if (run / METHOD_COPY).exists():
        files.check(METHOD_COPY, config.get("file_hash"))
    if (run / EVALUATED).exists() or ((run / RESULTS).exists() and first == 1):
        state = files.signed(EVALUATED, is_required=first == 1)
        if state and first == 1 and run_sha256 not in (None, state.get(RUN_SHA256)):
            files.report.damaged.append(EVALUATED)
        files.check(RESULTS, state.get(RESULTS_SHA256))
    if (run / INDEX).exists():
        files.folder(run / INDEX, INDEX_FILE, is_required=False)
    for checkpoint in sorted((run / UNFINISHED).glob("[0-9]*")):
        files.folder(checkpoint, CHECKSUMS, is_required=False)
    files.check_rest()
    return files.report


def _last_task(run: Path) -> int:
    """The last task of which there is a folder or a stage."""
    paths = [*run.glob("tasks/[0-9]*"), *run.glob("stages/[0-9]*.json")]
    return max((int(path.stem) for path in paths if path.stem.isdigit()), default=0)


def _measured_tasks(run: Path) -> int:
    """How many tasks the results are of; 0 where that cannot be read."""
    try:
        return int(read_json(run / RESULTS)["tasks"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _check_stage(files: "_Files", number: int, run_sha256: str | None) -> None:
    """A stage, of the run with this identity (None: it may be of version 0.3), and its answers."""
    file = RunFolder(files.run).stage_file(number)
    stage = files.signed(files.name(file), None, run_sha256 is not None)
    is_of_another = run_sha256 not in (None, stage.get(RUN_SHA256))
    if stage and (stage.get("stage") != number or is_of_another):
        files.report.damaged.append(files.name(file))
    answers = query_results_file(files.run, number)
    if ANSWERS_SHA256 in stage or answers.exists():
        files.check(files.name(answers), stage.get(ANSWERS_SHA256))


class _Files:
    """Checks files of a run, and collects in ``report`` what was found."""

    def __init__(self, run: Path) -> None:
        self.run, self.report = run, RunReport()
        self._seen: set[str] = set()

    def name(self, file: Path) -> str:
        """A file's path relative to the run."""
        return file.relative_to(self.run).as_posix()

    def check(self, name: str, sha256: str | None) -> None:
        """Compare a file with its hash, None where that is not known."""
        if (body := self._read(name)) is None:
            return
        if sha256 is None:
            self.report.unchecked.append(name)
        elif hashlib.sha256(body).hexdigest() != sha256:
            self.report.damaged.append(name)

    def beginning(self, name: str, size: int, sha256: str | None) -> None:
        """Compare the beginning of a log, which grows."""
        if sha256 is None and not (self.run / name).exists():
            return
        body = self._read(name)
        if body is not None and sha256 is None:
            self.report.unchecked.append(name)
        elif body is not None and hashlib.sha256(body[:size]).hexdigest() != sha256:
            self.report.damaged.append(name)

    def signed(self, name: str, indent: int | None = 1, is_required: bool = True) -> dict[str, Any]:
        """The content of a JSON file that holds its own hash; empty where it is not good."""
        if (body := self._read(name)) is None:
            return {}
        try:
            return parse_signed_text(body.decode(), indent)
        except ValueError:
            is_old = DIGEST.encode() not in body and not is_required
            (self.report.unchecked if is_old else self.report.damaged).append(name)
        return {}

    def folder(self, folder: Path, checksums: str, is_required: bool) -> dict[str, Any]:
        """Check a folder by its file of checksums, whose content is returned."""
        if not (folder / checksums).exists() and not is_required:
            names = [self.name(path) for path in sorted(folder.glob("[!.]*"))]
            for name in names:
                self.check(name, None)
            return {}
        body = self.signed(self.name(folder / checksums))
        for name, sha256 in body.get("files", {}).items():
            self.check(self.name(folder / name), sha256)
        return body

    def check_rest(self) -> None:
        """Name all other files: foreign in the folders of the run's own, else unchecked."""
        for path in sorted(self.run.rglob("*")):
            name = self.name(path)
            is_transient = f"/{name}".count("/.") or name.startswith("lease.")
            if name in self._seen or is_transient or (path.is_dir() and not path.is_symlink()):
                continue
            is_own = name.split("/")[0] in OWN_FOLDERS
            (self.report.foreign if is_own else self.report.unchecked).append(name)

    def _read(self, name: str) -> bytes | None:
        """A file's bytes; None where they cannot be read, which is reported."""
        self._seen.add(name)
        try:
            return read_bytes(self.run / name)
        except FileNotFoundError:
            self.report.missing.append(name)
        except OSError:
            self.report.damaged.append(name)
        return None


def summary(body: Mapping[str, Any]) -> str:
    """The report as text, from its JSON with ``path``."""
    lines = [f"{kind}: {name}" for kind in ("damaged", "missing", "foreign") for name in body[kind]]
    if unchecked := body["unchecked"]:
        shown = ", ".join(unchecked[:5]) + ", ..." * (len(unchecked) > 5)
        lines.append(f"not checked, since written without checksums: {len(unchecked)} ({shown})")
    state = "every file with a checksum is as it was written"
    return "\n".join([*lines, f"run {body['path']}: {state if body['ok'] else 'damaged'}"])

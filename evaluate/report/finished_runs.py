"""What a report needs of each run, read from its folder alone."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import StructAlignError
from ...core.files import parse_json, read_bytes
from ...train.methods.registry import load_method
from ...train.runs.folder import read_run_config
from ..results import read_results

KINDS = {"checkpoints": "state.safetensors", "gallery": "gallery-*"}


@dataclass(frozen=True)
class FinishedRun:
    """A run's results, ``training`` seconds of each task from its log, ``bytes`` by kind.

    ``sessions``: when, where and with which versions it was trained.
    """

    path: Path
    config: dict[str, Any]
    results: dict[str, Any]
    training: dict[int, float]
    bytes: dict[str, int]
    sessions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Method and seed."""
        return f"{self.results['method']}, seed {self.results['seed']}"

    @property
    def command(self) -> str:
        """The commands that repeat it, a line each: the run, and what was appended."""
        return "\n".join([self._train_command(), *map(self._append_command, self._appended)])

    @property
    def _appended(self) -> list[dict[str, Any]]:
        return list(self.config.get("parts") or [])[1:]

    def _append_command(self, part: dict[str, Any]) -> str:
        sizes = ",".join(str(len(names)) for names in part["tasks"])
        line = ["structalign", "append", str(self.path), "--cache", part["fingerprint"][:12]]
        return shlex.join([*line, "--tasks", sizes if "," in sizes else "1"])

    def _train_command(self) -> str:
        config, backbone = self.config, self.results["backbone"]["name"]
        outside = config.get("file_hash") is not None
        method = config["source"] if outside else config["method"]
        parts = ["structalign", "train", "--cache", config["fingerprint"][:12], "--tasks"]
        tasks = config["tasks"] if isinstance(config["tasks"], list) else [config["tasks"]]
        parts += [",".join(map(str, tasks)), "--method", method, "--seed", str(config["seed"])]
        parts += ["--order", config["order"]] if config.get("order") else []
        if outside:
            return shlex.join(parts)
        defaults = load_method(method, config["dataset"], backbone).as_json()
        for key, value in config["settings"].items():
            if key in defaults and defaults[key] != value:
                parts += ["--set", f"{key}={json.dumps(value).strip(chr(34))}"]
        return shlex.join(parts)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything but the seed that makes its results."""
        method, fingerprint = self.results["method"], self.config["fingerprint"][:12]
        settings = {key: value for key, value in self.config["settings"].items() if key != "seed"}
        file = {"file": self.config["file_hash"][:12]} if self.config.get("file_hash") else {}
        caches = "+".join([fingerprint, *(part["fingerprint"][:12] for part in self._appended)])
        order = {"order": self.config["order"]} if self.config.get("order") else {}
        return {"method": method, "cache": caches, **order, **file, **settings}

    def stage(self, number: int) -> dict[str, Any]:
        """What was measured after task ``number``; empty where the stream was shorter."""
        stages = self.results["stages"]
        return dict(stages[number]) if number < len(stages) else {}


def group_runs(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Runs that differ in nothing but the seed, by method and, of several, what tells them apart.

    Raises:
        StructAlignError: a run twice, as itself or as a copy.
    """
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        same = groups.setdefault(json.dumps(run.identity, sort_keys=True), [])
        if twin := next((one for one in same if one.config["seed"] == run.config["seed"]), None):
            raise StructAlignError(
                f"{twin.path} and {run.path} are one run twice ({run.name}); name one of them"
            )
        same.append(run)
    named: dict[str, list[FinishedRun]] = {}
    for same in groups.values():
        first = same[0].identity
        others = [other[0].identity for other in groups.values()]
        alike = [other for other in others if other["method"] == first["method"]]
        apart = [key for key in first if any(other.get(key) != first[key] for other in alike)]
        told = ", ".join(f"{key}={first[key]}" for key in apart)
        named[f"{first['method']} ({told})" if told else first["method"]] = same
    return named


def read_runs(paths: Sequence[Path]) -> list[FinishedRun]:
    """The runs of a report, those with the most tasks first.

    Raises:
        StructAlignError: a folder that is no run or has no results, or runs that do not belong in
            one table. A run of one task, such as joint, belongs to any.
    """
    runs = [_read(path) for path in paths]
    for what in ("dataset", "tasks"):
        several = [run for run in runs if what != "tasks" or run.results["tasks"] > 1]
        values = sorted({str(run.results[what]) for run in several})
        if len(values) > 1:
            raise StructAlignError(
                f"these runs differ in {what} ({', '.join(values)}); make a report of each"
            )
    return sorted(runs, key=lambda run: run.results["tasks"] == 1)


def _read(path: Path) -> FinishedRun:
    config = read_run_config(path)
    results = read_results(path)
    seconds: dict[int, float] = {}
    for entry in _lines(path / "log.jsonl"):
        seconds[entry["task"]] = seconds.get(entry["task"], 0.0) + entry.get("seconds", 0.0)
    sizes = {
        kind: sum(file.stat().st_size for file in path.glob(f"tasks/*/{pattern}"))
        for kind, pattern in KINDS.items()
    }
    return FinishedRun(path, config, results, seconds, sizes, _lines(path / "sessions.jsonl"))


def _lines(file: Path) -> list[dict[str, Any]]:
    """The entries of a log; none where there is none. Raises StructAlignError for a broken one."""
    if not file.exists():
        return []
    try:
        return [dict(parse_json(line)) for line in read_bytes(file).decode().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise StructAlignError(f"{file} cannot be read ({error}); move it away") from error

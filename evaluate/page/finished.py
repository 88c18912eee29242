"""What a report needs of each run, read from its folder alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import StructAlignError
from train.run_folders import read_config
from train.settings import resolve


@dataclass(frozen=True)
class FinishedRun:
    """``results`` as in results.json; ``training`` seconds of each task as far as the log knows; ``bytes`` by kind of file."""

    path: Path
    config: dict[str, Any]
    results: dict[str, Any]
    training: dict[int, float]
    bytes: dict[str, int]

    @property
    def name(self) -> str:
        """Method and seed."""
        return f"{self.results['method']}, seed {self.results['seed']}"

    @property
    def command(self) -> str:
        """The command that repeats it."""
        settings = resolve(self.config["dataset"], self.config["method"], {}).settings
        changed = [f"--set {key}={_value(value)}" for key, value in self.config["settings"].items() if getattr(settings, key, None) != value]
        parts = [f"structalign train --cache {self.config['fingerprint'][:12]} --tasks {self.config['tasks']}", f"--method {self.config['method']}"]
        return " ".join([*parts, f"--seed {self.config['seed']}", *changed])


def read_runs(paths: list[Path]) -> list[FinishedRun]:
    """Raises StructAlignError for a folder that is no run or has no results, and for runs that cannot stand in one table."""
    runs = [_read(path) for path in paths]
    for what in ("dataset", "tasks"):
        values = sorted({str(run.results[what]) for run in runs})
        if len(values) > 1:
            raise StructAlignError(f"these runs differ in {what} ({', '.join(values)}); make a report of each")
    return runs


def _read(path: Path) -> FinishedRun:
    config = read_config(path)
    try:
        results = json.loads((path / "results.json").read_text())
        if not {"method", "dataset", "tasks", "seed", "stages", "final", "matrix"} <= set(results):
            raise ValueError("keys are missing")
    except FileNotFoundError as error:
        raise StructAlignError(f"run {path} has no results yet; train it to its end ('train' goes on where it stopped)") from error
    except (ValueError, TypeError) as error:
        raise StructAlignError(f"{path / 'results.json'} is damaged ({error}); 'eval {path}' computes it again") from error
    return FinishedRun(path, config, results, _training(path), _bytes(path))


def _training(path: Path) -> dict[int, float]:
    seconds: dict[int, float] = {}
    if (path / "log.jsonl").is_file():
        for line in (path / "log.jsonl").read_text().splitlines():
            entry = json.loads(line)
            seconds[entry["task"]] = seconds.get(entry["task"], 0.0) + entry.get("seconds", 0.0)
    return seconds


def _bytes(path: Path) -> dict[str, int]:
    kinds = {
        "checkpoints": "tasks/*/model.safetensors",
        "what methods remember": "tasks/*/method.safetensors",
        "video database": "tasks/*/database-*",
    }
    return {kind: sum(file.stat().st_size for file in path.glob(pattern)) for kind, pattern in kinds.items()}


def _value(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

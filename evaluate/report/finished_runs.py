"""A finished run as a report needs it, read from the run's folder alone."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import StructAlignError
from ...core.files import parse_json, read_bytes, read_json
from ...train.methods.registry import load_method
from ...train.runs.folder import read_run_config
from ..metrics import METRICS
from ..results import read_results

HEADLINE = METRICS[0]  # R@1: the metric of the summary, the curves and forgetting
KINDS = {"checkpoints": "state.safetensors", "gallery": "gallery-*"}


@dataclass(frozen=True)
class FinishedRun:
    """What a run's folder says: its configuration, results, logs and sizes.

    ``trained``: seconds in all; ``bytes``: sizes of checkpoints and gallery, by kind;
    ``sessions``: when, where and with which versions it was trained.
    """

    path: Path
    config: dict[str, Any]
    results: dict[str, Any]
    trained: float
    bytes: dict[str, int]
    sessions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Method and seed."""
        return f"{self.results['method']}, seed {self.results['seed']}"

    @property
    def evaluated(self) -> list[float]:
        """Seconds that each stage was measured for."""
        return [stage["seconds"] for stage in self.results["stages"]]

    @property
    def tasks(self) -> int:
        """How many tasks it has learnt."""
        return int(self.results["tasks"])

    @property
    def command(self) -> str:
        """The commands that repeat it, one per line: the training, then each append."""
        appended = map(self._append_command, self.config["parts"][1:])
        return "\n".join([self._train_command(), *appended])

    def _append_command(self, part: dict[str, Any]) -> str:
        sizes = ",".join(str(len(names)) for names in part["tasks"])
        line = ["structalign", "append", str(self.path), "--cache", part["fingerprint"][:12]]
        return shlex.join([*line, "--tasks", sizes if "," in sizes else "1"])

    def _train_command(self) -> str:
        config, backbone = self.config, self.results["backbone"]["name"]
        is_own_file = config.get("file_hash") is not None
        method = config["source"] if is_own_file else config["method"]
        parts = ["structalign", "train", "--cache", config["fingerprint"][:12], "--tasks"]
        tasks = config["tasks"] if isinstance(config["tasks"], list) else [config["tasks"]]
        parts += [",".join(map(str, tasks)), "--method", method, "--seed", str(config["seed"])]
        parts += ["--order", config["order"]] if config.get("order") else []
        if is_own_file:
            return shlex.join(parts)
        defaults = load_method(method, config["dataset"], backbone).as_json()
        for key, value in config["settings"].items():
            if key in defaults and defaults[key] != value:
                parts += ["--set", f"{key}={json.dumps(value).strip(chr(34))}"]
        return shlex.join(parts)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines its results, except the seed."""
        config, method = self.config, self.results["method"]
        settings = {key: value for key, value in config["settings"].items() if key != "seed"}
        file = {"file": config["file_hash"][:12]} if config.get("file_hash") else {}
        appended = (part["fingerprint"][:12] for part in config["parts"][1:])
        caches = "+".join([config["fingerprint"][:12], *appended])
        order = {"order": config["order"]} if config.get("order") else {}
        return {"method": method, "cache": caches, **order, **file, **settings}

    def stage(self, number: int) -> dict[str, Any]:
        """What was measured after task ``number``; empty where the stream was shorter."""
        stages = self.results["stages"]
        return dict(stages[number]) if number < len(stages) else {}

    def over_seen(self, stage: int, figure: str = "t2v") -> float | None:
        """R@1 over all clips seen after a stage; ``zero_shot``: of the pre-trained model."""
        return (self.stage(stage).get(figure) or {}).get(HEADLINE.name)

    def geometry(self, stage: int) -> dict[str, Any]:
        """Diagnostics of the embeddings at a stage; empty where they were not measured."""
        return self.stage(stage).get("geometry") or {}

    def recall(self, task: int, stage: int) -> float | None:
        """R@1 within ``task`` after task ``stage``, in percent; None where it was not measured."""
        matrix = self.results["matrix"][HEADLINE.key]
        return matrix[stage][task - 1] if stage < len(matrix) and task <= len(matrix[0]) else None

    def lost(self, task: int, stage: int) -> float | None:
        """Points of R@1 within ``task`` lost since it was learnt; None where not measured."""
        learnt, now = self.recall(task, task), self.recall(task, stage)
        return None if learnt is None or now is None or task >= stage else learnt - now


def runs_of(path: Path) -> list[Path]:
    """The runs of a sweep's folder, as its ``sweep.json`` lists them; else the folder itself.

    Raises StructAlignError where the list cannot be read.
    """
    file = path / "sweep.json"
    if not file.is_file():
        return [path]
    try:
        names = dict.fromkeys(Path(row["run"]).name for row in read_json(file)["runs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StructAlignError(f"{file} cannot be read ({error!r}); sweep again") from error
    return [path / name for name in names]


def read_runs(paths: Sequence[Path]) -> list[FinishedRun]:
    """The runs of a report; runs of a single task, such as joint training, come last.

    Raises StructAlignError: a folder is not a run or has no results, or the runs differ in their
    dataset or number of tasks (a single task goes with any number).
    """
    runs = [_read(path) for path in paths]
    for key in ("dataset", "tasks"):
        compared = [run for run in runs if key != "tasks" or run.tasks > 1]
        values = sorted({str(run.results[key]) for run in compared})
        if len(values) > 1:
            raise StructAlignError(
                f"these runs differ in {key} ({', '.join(values)}); make a report of each"
            )
    return sorted(runs, key=lambda run: run.tasks == 1)


def _read(path: Path) -> FinishedRun:
    config, results = read_run_config(path), read_results(path)
    seconds = sum(float(entry.get("seconds", 0)) for entry in _lines(path / "log.jsonl"))
    sizes = {
        kind: sum(file.stat().st_size for file in path.glob(f"tasks/*/{pattern}"))
        for kind, pattern in KINDS.items()
    }
    return FinishedRun(path, config, results, seconds, sizes, _lines(path / "sessions.jsonl"))


def _lines(file: Path) -> list[dict[str, Any]]:
    """The entries of a log, empty without one. Raises StructAlignError for a damaged log."""
    if not file.exists():
        return []
    try:
        return [dict(parse_json(line)) for line in read_bytes(file).decode().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise StructAlignError(f"{file} cannot be read ({error}); move it away") from error

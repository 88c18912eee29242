"""Whether a run's results still stand: nothing that they follow from has changed since they were computed.

Beside ``results.json`` lies ``standing.json``: size and time of every file under ``tasks/``, and hashes of the configuration, of the results
themselves and of the code that computes them. When all of it is as it was, computing again gives the same figures, and is not done.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cache.files import sha256_of, write_text

CODE = Path(__file__).parents[1]
ROOMS = ("cache", "train", "evaluate")
NAME = "standing.json"


def standing_results(run: Path) -> dict[str, Any] | None:
    """The results of a run if they still stand."""
    try:
        if json.loads((run / NAME).read_text()) != _state(run):
            return None
        return dict(json.loads((run / "results.json").read_text()))
    except (OSError, ValueError):
        return None


def write_results(run: Path, results: dict[str, Any]) -> None:
    """Leave ``results.json`` in the run, and what it follows from."""
    write_text(run / "results.json", json.dumps(results, indent=1) + "\n")
    write_text(run / NAME, json.dumps(_state(run), indent=1) + "\n")


def _state(run: Path) -> dict[str, Any]:
    code = hashlib.sha256(version("torch").encode())
    for file in sorted(file for room in ROOMS for file in (CODE / room).rglob("*.py")):
        code.update(file.read_bytes())
    tasks = {file.relative_to(run).as_posix(): (stat := file.stat()) and [stat.st_size, stat.st_mtime_ns] for file in sorted(run.glob("tasks/*/*"))}
    return {"tasks": tasks, "config": sha256_of(run / "config.json"), "results": sha256_of(run / "results.json"), "code": code.hexdigest()}

"""Finding runs, without loading what they hold."""

import json
from pathlib import Path
from typing import Any

from cache.errors import StructAlignError


def newest_run(folder: Path) -> Path:
    """The run that was begun or measured last. Raises StructAlignError when there is none."""
    runs = [file.parent for file in folder.glob("*/config.json")]
    if not runs:
        raise StructAlignError(f"no run under {folder}; run 'train' first, or name a run's folder")
    return max(runs, key=lambda run: max(file.stat().st_mtime_ns for file in (run / "config.json", run / "results.json") if file.exists()))


def read_config(run: Path) -> dict[str, Any]:
    """A run's configuration. Raises StructAlignError when the folder is not a run."""
    try:
        return dict(json.loads((run / "config.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StructAlignError(f"{run} is not a run; train one, or name its folder") from error

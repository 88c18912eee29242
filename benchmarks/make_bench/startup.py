"""Start-up time of the command line with one cache, and of ``eval`` on a finished run."""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from ...extract.datasets.demo.files import write_clip
from ...extract.datasets.demo.world import build_world
from ..parts.demo_manifest import write_manifest
from ..parts.table import Row, print_rows, seconds

COMMANDS = ((0.5, "--help"), (1.0, "cache ls"), (1.0, "eval"))
EXTRACT = (
    "extract --dataset manifest --backbone demo --pretrained demo --cut 4 --frames 2 --views 1 "
    "--engine inline --root"
)


def make_runs(folder: Path, environment: dict[str, str]) -> None:
    """Make a cache of a few demo clips, and a finished run."""
    clips = [
        next(clip for clip in build_world(0) if clip.split == split) for split in ("train", "test")
    ]
    for clip in clips:
        write_clip(clip, folder)
    write_manifest(folder / "manifest.csv", clips)
    for command in (f"{EXTRACT} {folder}", "train --method zeroshot --tasks 1"):
        subprocess.run(
            [sys.executable, "-m", "structalign.cli", *command.split()],
            env=environment,
            capture_output=True,
            check=True,
        )


def main() -> None:
    """Print the median of six calls each."""
    with tempfile.TemporaryDirectory() as name:
        environment = {
            **os.environ,
            "STRUCTALIGN_CACHE": name,
            "STRUCTALIGN_RUNS": str(Path(name) / "runs"),
        }
        make_runs(Path(name), environment)
        rows = []
        for limit, command in COMMANDS:
            line = [sys.executable, "-m", "structalign.cli", *command.split()]
            start = partial(subprocess.run, line, env=environment, capture_output=True, check=True)
            taken = median(seconds(start) for _ in range(6))
            rows.append(Row(f"start: {command}", f"{taken:.2f} s", f"{limit} s", limit / taken, 1))
    print_rows(rows)


if __name__ == "__main__":
    main()

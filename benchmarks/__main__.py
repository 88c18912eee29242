"""``make bench``.

Every stage against its limit, one table. Each benchmark runs in a process of its own.

python -m structalign.benchmarks [NAME ...]
"""

import json
import subprocess
import sys
import time

import torch

from .table import Row, table

NAMES = (
    "startup",
    "first_clip",
    "decoding",
    "similarity",
    "evaluation",
    "zero_shot",
    "loading",
    "catalog",
    "extraction",
    "usual_extraction",
    "training",
    "released_training",
)
GPU_NAMES = ("full_scale", "compiled")


def measure(names: list[str]) -> tuple[list[Row], list[str]]:
    """The rows of some benchmarks, and which did not run, and why."""
    rows: list[Row] = []
    failed = []
    for name in names:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", f"structalign.benchmarks.{name}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            failed.append(f"{name}: {said[-1]}")
        else:
            rows += [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows, failed


def all_names() -> list[str]:
    """Every benchmark that this machine can run."""
    return [*NAMES, *(GPU_NAMES if torch.cuda.is_available() else ())]


def main(names: list[str]) -> int:
    """Run and print.

    Exit code 1 when a benchmark fails to run (a missed target is told, not punished).
    """
    rows, failed = measure(names or all_names())
    print(table(rows))
    for line in failed:
        print(f"did not run: {line}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

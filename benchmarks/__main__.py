"""``make bench``: every stage against its limit, in one table.

python -m structalign.benchmarks [NAME ...]

Each benchmark runs in a process of its own. Names are those of the files in make_bench/, and of the
two that need a GPU; all others are run by hand, as ``python -m structalign.benchmarks.NAME``.
"""

import argparse
import json
import subprocess
import sys
import time

import torch

from .parts.table import Row, table

MAKE_BENCH = (
    "startup", "first_clip", "decoding", "similarity", "evaluation", "zero_shot", "loading",
    "catalog", "extraction", "usual_extraction", "training", "official_training",
)  # fmt: skip
ON_A_GPU = ("full_scale", "compiled")


def measure(names: list[str]) -> tuple[list[Row], list[str]]:
    """The rows of the named benchmarks, and a line for each that failed to run."""
    rows: list[Row] = []
    failed = []
    for name in names:
        module = f"make_bench.{name}" if name in MAKE_BENCH else name
        line = [sys.executable, "-m", f"structalign.benchmarks.{module}"]
        began = time.monotonic()
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            failed.append(f"{name}: {said[-1]}")
        else:
            rows += [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows, failed


def all_names() -> list[str]:
    """Every benchmark of the table that this machine can run."""
    return [*MAKE_BENCH, *(ON_A_GPU if torch.cuda.is_available() else ())]


def main() -> int:
    """Print the table; exit code 1 when a benchmark fails to run, not when it misses its target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(all_names()))
    names = parser.parse_args().names
    if unknown := set(names) - {*MAKE_BENCH, *ON_A_GPU}:
        parser.error(
            f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(all_names())}"
        )
    rows, failed = measure(names or all_names())
    print(table(rows))
    for line in failed:
        print(f"did not run: {line}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

"""``make gpu``: run the tests and benchmarks that need a GPU, and write their results.

python -m structalign.benchmarks.gpu_report [--out gpu-report.json]

Runs every method through every verb on the GPU, whole runs at the size of MSR-VTT and ActivityNet,
and the table of ``make bench``. Needs a checkout, since the tests are not installed.
"""

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .__main__ import all_names, measure
from .parts.table import table

TESTS = (sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", "gpu", "tests/end_to_end")
PACKAGES = ("structalign", "torch", "open_clip_torch", "zarr", "numpy", "ray")
TAIL = 4000  # characters of what the tests print


def machine() -> dict[str, Any]:
    """The GPU, the system, and the versions of packages."""
    gpu = torch.cuda.get_device_properties(0)
    return {
        "gpu": gpu.name,
        "gpu_memory": gpu.total_memory,
        "cuda": torch.version.cuda,
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def main() -> int:
    """Write the report; exit code 1 when a test fails or a benchmark does not run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu-report.json"))
    out = parser.parse_args().out
    if not torch.cuda.is_available():
        print("torch sees no GPU; nothing was run", file=sys.stderr)
        return 1
    checkout = Path(__file__).parents[1]
    tests = subprocess.run(TESTS, cwd=checkout, capture_output=True, text=True, check=False)
    rows, failed = measure(all_names())
    report = {
        "machine": machine(),
        "tests": {"exit": tests.returncode, "printed": tests.stdout[-TAIL:]},
        "rows": [asdict(row) for row in rows],
        "did_not_run": failed,
    }
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(rows))
    print(f"tests: exit code {tests.returncode}; {out} is the file to send back")
    return int(bool(failed or tests.returncode))


if __name__ == "__main__":
    sys.exit(main())

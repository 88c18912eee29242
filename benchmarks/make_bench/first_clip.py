"""From the command to the cache: few clips, many clips, and what a worker imports.

The gap between Ray and this process on few clips is the RAY_START of ``engines.auto``.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from ...extract.datasets.demo.files import write_clip
from ...extract.datasets.demo.world import build_world
from ...extract.engines.auto import RAY_START
from ..parts.demo_manifest import write_manifest
from ..parts.table import Row, in_turn, print_rows, seconds

FEW, MANY, LIMIT = 24, 608, 6.0  # clips, clips, seconds
WORKER = "structalign.extract.engines.inline"
LINE = "extract --dataset manifest --backbone demo --pretrained demo --name bench --engine"


def run(*command: str) -> None:
    """Run Python in a process of its own."""
    subprocess.run([sys.executable, *command], check=True, capture_output=True)


def extract(videos: Path, engine: str) -> None:
    """Extract into a cache root of its own."""
    with tempfile.TemporaryDirectory() as root:
        line = [*LINE.split(), engine, "--root", str(videos), "--cache-root", root]
        run("-m", "structalign.cli", *line)


def main() -> None:
    """Print the rows, on real mp4 files of the demo world."""
    rows, world = [], build_world(0)
    with tempfile.TemporaryDirectory() as name:
        for count in (FEW, MANY):
            videos = Path(name) / str(count)
            videos.mkdir()
            clips = world[:: len(world) // count][:count]
            for clip in clips:
                write_clip(clip, videos)
            write_manifest(videos / "manifest.csv", clips)
            engines = {
                engine: lambda engine=engine, videos=videos: extract(videos, engine)
                for engine in ("auto", "inline", "ray")
            }
            taken = in_turn(3 if count == FEW else 1, engines)
            if count == FEW:
                rows.append(
                    Row(
                        f"{count} clips, command to cache", f"{taken['auto']:.1f} s",
                        f"{LIMIT:g} s", LIMIT / taken["auto"], 1,
                    )
                )  # fmt: skip
                start = taken["ray"] - taken["inline"]
                rows.append(
                    Row(
                        "Ray's start, as assumed", f"{RAY_START:g} s", f"{start:.1f} s",
                        min(start, RAY_START) / max(start, RAY_START), 0.7,
                    )
                )  # fmt: skip
            best = min(("inline", "ray"), key=lambda engine: taken[engine])
            rows.append(
                Row(
                    f"{count} clips, engine auto", f"{taken['auto']:.1f} s",
                    f"{taken[best]:.1f} s, {best}", taken[best] / taken["auto"], 0.9,
                )
            )  # fmt: skip
    worker, torch = (
        median(seconds(partial(run, "-c", code)) for _ in range(5))
        for code in (f"import {WORKER}", "import torch")
    )
    rows.append(
        Row("imports of a worker", f"{worker:.2f} s", f"{torch:.2f} s, torch alone",
            torch / worker, 0.75)
    )  # fmt: skip
    print_rows(rows)


if __name__ == "__main__":
    main()

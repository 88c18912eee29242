"""A manifest of a demo world's clips, for benchmarks and tests of the user's own videos."""

import csv
from collections.abc import Iterable
from pathlib import Path

from ...extract.datasets.demo.world import WorldClip


def write_manifest(path: Path, clips: Iterable[WorldClip]) -> None:
    """A CSV manifest of clips in the same folder, one row per caption."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip_id", "path", "start", "end", "category", "split", "caption"])
        for clip in clips:
            for caption in clip.captions:
                table.writerow(
                    [clip.name, f"{clip.name}.mp4", "", "", clip.category, clip.split, caption]
                )

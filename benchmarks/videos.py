"""Real mp4 files of MSR-VTT's kind (240p to 480p, 15 to 30 frames a second, 4 to 16 s), and a
manifest of them.
"""

import csv
import random
from pathlib import Path

from ..tools.full_scale import RATES, SIZES, Dataset, write_source
from .sentences import sentences

TRAIN_SHARE = 10  # one clip of ten is for training, as in MSR-VTT's K-task split


def make_videos(folder: Path, count: int) -> list[Path]:
    """``count`` files under ``folder`` and a manifest.csv."""
    rng, sources = random.Random(0), []
    (folder / "sources").mkdir(parents=True)
    for n in range(4):
        path = folder / "sources" / f"{n}.mp4"
        write_source(path, *SIZES[n], RATES[n], n)
        sources.append(Dataset(path))
    files = []
    for n in range(count):
        files.append(folder / f"clip{n}.mp4")
        length = rng.randint(4, 16)
        rng.choice(sources).cut(files[-1], rng.randint(0, 31 - length), length)
    write_manifest(folder, count)
    return files


def write_manifest(folder: Path, count: int) -> None:
    """The first ``count`` files; the folder's manifest becomes another dataset."""
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip_id", "path", "start", "end", "category", "split", "caption"])
        for n, text in enumerate(sentences(count)):
            table.writerow(
                [
                    f"clip{n}",
                    f"clip{n}.mp4",
                    "",
                    "",
                    "all",
                    "train" if n % TRAIN_SHARE == 0 else "test",
                    text,
                ]
            )

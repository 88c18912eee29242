"""Real mp4 files of MSR-VTT's kind (240p to 480p, 15 to 30 frames a second, 4 to 16 s), and a
manifest of them.
"""

import csv
import random
from pathlib import Path

from .full_scale_videos import RATES, SIZES, Dataset, write_source
from .sentences import sentences

TRAIN_SHARE = 10  # one clip of ten is for training, as in MSR-VTT's K-task split


def make_videos(folder: Path, count: int) -> list[Path]:
    """``count`` files under ``folder``, no two alike, and a manifest.csv."""
    sources = []
    (folder / "sources").mkdir(parents=True)
    for n in range(4):
        path = folder / "sources" / f"{n}.mp4"
        write_source(path, *SIZES[n], RATES[n], n)
        sources.append(Dataset(path))
    cuts = [
        (source, start, length)
        for source in sources
        for length in range(4, 17)
        for start in range(32 - length)
    ]
    files = []
    for n, (source, start, length) in enumerate(random.Random(0).sample(cuts, count)):
        files.append(folder / f"clip{n}.mp4")
        source.cut(files[-1], start, length)
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

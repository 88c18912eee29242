"""Videos of MSR-VTT's size without MSR-VTT.

Writes real mp4 files under its names, cut from synthetic sources of several sizes and frame rates.

    python -m structalign.benchmarks.full_scale_videos --splits FOLDER --out FOLDER

``--splits`` holds CTVR's split pickle and MSRVTT_CL_validation.csv. The 3,310 videos get an
MSRVTT_data.json whose training captions are test sentences drawn at random. Use them to measure
time, bytes and memory at full scale; the retrieval figures of a run over them mean nothing.
"""

import argparse
import csv
import json
import random
import shutil
from pathlib import Path

from ..extract.datasets.splits import read_split
from .parts.videos import LONGEST, RATES, SECONDS, SHORTEST, SIZES, Source, write_source

CAPTIONS = 20  # of a training video


def main() -> None:
    """Write the sources, cut the videos, write the annotations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    out: Path = arguments.out
    videos = out / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    for name in ("MSRVTT_10_dataset.pkl", "MSRVTT_20_dataset.pkl", "MSRVTT_CL_validation.csv"):
        shutil.copyfile(arguments.splits / name, out / name)
    split = read_split(out / "MSRVTT_20_dataset.pkl")
    train = [video for category in split.categories for video in split.train[category]]
    test = [video for category in split.categories for video in split.test[category]]
    rng = random.Random(0)
    with (out / "MSRVTT_CL_validation.csv").open(newline="", encoding="utf-8") as file:
        sentences = [row["sentence"] for row in csv.DictReader(file)]
    rows = [
        {"caption": rng.choice(sentences), "video_id": video, "sen_id": CAPTIONS * v + n}
        for v, video in enumerate(train)
        for n in range(CAPTIONS)
    ]
    listed = [{"video_id": video, "category": 0, "split": "train"} for video in train]
    (out / "MSRVTT_data.json").write_text(json.dumps({"videos": listed, "sentences": rows}))
    sources = []
    (out / "sources").mkdir(exist_ok=True)
    for n, (size, rate) in enumerate((size, rate) for size in SIZES for rate in RATES):
        path = out / "sources" / f"source{n}.mp4"
        write_source(path, *size, rate, n)
        sources.append(Source(path))
    for video in train + test:
        source, length = rng.choice(sources), rng.randint(SHORTEST, LONGEST)
        source.cut(videos / f"{video}.mp4", rng.randint(0, SECONDS - length - 1), length)
    shutil.rmtree(out / "sources")
    files = list(videos.iterdir())
    print(
        f"{len(files)} videos, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB, in "
        f"{videos}"
    )


if __name__ == "__main__":
    main()

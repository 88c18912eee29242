"""MSR-VTT's size without MSR-VTT.

Real mp4 files under its names, cut from a few synthetic sources of several sizes and frame rates.

    python -m structalign.benchmarks.full_scale_videos --splits FOLDER --out FOLDER

``--splits`` holds CTVR's split pickle and MSRVTT_CL_validation.csv. Beside the 3,310 videos goes an
MSRVTT_data.json whose training captions are test sentences dealt at random. For measuring time,
bytes and memory at full scale; the figures of a run over it mean nothing.
"""

import argparse
import csv
import json
import random
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..extract.datasets.splits import read_split

SIZES = ((320, 240), (480, 270), (640, 360), (176, 144), (240, 320), (854, 480))
RATES = (Fraction(15), Fraction(25), Fraction(30000, 1001), Fraction(24))
SECONDS, SHORTEST, LONGEST = 32, 4, 16
CAPTIONS = 20


def write_source(path: Path, width: int, height: int, rate: Fraction, seed: int) -> None:
    """Drifting plaid with a moving square, a keyframe every second."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32) / 64
    waves = rng.uniform(-1, 1, (3, 4)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "crf": "28", "g": str(round(rate))}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(int(SECONDS * rate)):
            t = n / float(rate)
            picture = np.stack(
                [
                    127 + 90 * np.sin(a * x * 9 + b * y * 9 + c * t * 3 + d * 6)
                    for a, b, c, d in waves
                ],
                -1,
            ).astype(np.uint8)
            side = height // 4
            left, top = (
                int((0.5 + 0.5 * np.sin(t)) * (width - side)),
                int((0.5 + 0.5 * np.cos(0.7 * t)) * (height - side)),
            )
            picture[top : top + side, left : left + side] = (
                rng.integers(0, 255, 3, dtype=np.uint8) if n % round(rate) == 0 else (240, 40, 40)
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


class Dataset:
    """A source's packets, to be copied without encoding again."""

    def __init__(self, path: Path) -> None:
        self.container = av.open(str(path))
        self.stream = self.container.streams.video[0]
        self.seconds: list[list[av.Packet]] = []
        for packet in self.container.demux(self.stream):
            if packet.dts is None:
                continue
            if packet.is_keyframe:
                self.seconds.append([])
            self.seconds[-1].append(packet)

    def cut(self, path: Path, first: int, length: int) -> None:
        """Write ``length`` seconds from second ``first``."""
        packets = [packet for second in self.seconds[first : first + length] for packet in second]
        shift = min(packet.dts for packet in packets)
        with av.open(str(path), "w") as container:
            stream = container.add_stream_from_template(self.stream)
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.duration, copy.time_base = (
                    packet.pts - shift,
                    packet.dts - shift,
                    packet.duration,
                    packet.time_base,
                )
                copy.is_keyframe = packet.is_keyframe
                copy.stream = stream
                container.mux(copy)


def main() -> None:
    """Make sources, cut the videos, write the annotations."""
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
        sources.append(Dataset(path))
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

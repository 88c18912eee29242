"""Synthetic mp4 files of MSR-VTT's kind, and a manifest of them.

240p to 480p, 15 to 30 frames a second, 4 to 16 s.
"""

import csv
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .sentences import sentences

TRAIN_SHARE = 10  # one clip of ten is for training, as in MSR-VTT's K-task split
SIZES = ((320, 240), (480, 270), (640, 360), (176, 144), (240, 320), (854, 480))
RATES = (Fraction(15), Fraction(25), Fraction(30000, 1001), Fraction(24))
SECONDS, SHORTEST, LONGEST = 32, 4, 16  # of a source, of the clips cut from it


def write_source(path: Path, width: int, height: int, rate: Fraction, seed: int) -> None:
    """Write drifting plaid with a moving square, a keyframe every second."""
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


class Source:
    """The packets of a source video, copied into clips without encoding again."""

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


def make_videos(folder: Path, count: int) -> list[Path]:
    """Write ``count`` files under ``folder``, no two alike, and a manifest.csv."""
    sources = []
    (folder / "sources").mkdir(parents=True)
    for n in range(4):
        path = folder / "sources" / f"{n}.mp4"
        write_source(path, *SIZES[n], RATES[n], n)
        sources.append(Source(path))
    cuts = [
        (source, start, length)
        for source in sources
        for length in range(SHORTEST, LONGEST + 1)
        for start in range(SECONDS - length)
    ]
    files = []
    for n, (source, start, length) in enumerate(random.Random(0).sample(cuts, count)):
        files.append(folder / f"clip{n}.mp4")
        source.cut(files[-1], start, length)
    write_manifest(folder, count)
    return files


def write_manifest(folder: Path, count: int) -> None:
    """List the first ``count`` files of ``folder`` in its manifest.csv."""
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

"""Extraction end to end against its parts: decord alone, the stem alone, writing alone.

On a CPU the parts share the same cores, and their sum is the limit; with a GPU they do not, and the
slowest is. ViT-B/32 cut at block 2, 12 frames, 4 views of a training clip. The command runs with
Ray on a few and on many clips: the difference is the cost of clips, without the start of Ray and of
the backbone in every worker, which is reported too.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...backbones.backbone import load_backbone
from ...cache.catalog import Catalog, Clip
from ...cache.layout import TOKENS, shard_name
from ...cache.shards import ShardWriter
from ...cache.spec import CacheSpec
from ...cache.tokens import SHARD_CLIPS, create_tokens
from ...extract.video.sampling import sample_frames
from ..parts.table import Row, print_rows
from ..parts.videos import TRAIN_SHARE, make_videos, write_manifest

FEW, MANY, FRAMES, VIEWS, CUT = 32, 128, 12, 4, 2
BACKBONE = ("ViT-B-32-quickgelu", "random:0")
CORES = os.cpu_count() or 1
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_ready: dict[str, Any] = {}


def views_of(n: int) -> int:
    """How many views the manifest's clip ``n`` has."""
    return VIEWS if n % TRAIN_SHARE == 0 else 1


def prepare(tokens: Path) -> None:
    """Set up a worker, before anything is timed."""
    torch.set_num_threads(1)
    _ready["stem"] = load_backbone(*BACKBONE).stem(CUT).to(DEVICE)
    _ready["folder"] = tokens
    _ready["pixels"] = torch.randn(VIEWS, FRAMES, 3, 224, 224, device=DEVICE)
    _ready["tokens"] = (
        np.random.default_rng(0)
        .standard_normal((FRAMES, 50, 768), dtype=np.float32)
        .astype(np.float16)
    )


def decode(files: list[tuple[int, str]]) -> None:
    """Decode with decord, and nothing else."""
    import decord

    for _, file in files:
        reader = decord.VideoReader(file, num_threads=1)
        reader.get_batch(sample_frames(0, len(reader), FRAMES)).asnumpy()


def stem(files: list[tuple[int, str]]) -> None:
    """Run the stem on frames that are ready, and nothing else."""
    for n, _ in files:
        _ready["stem"](_ready["pixels"][: views_of(n)].flatten(0, 1)).half().numpy()


def write(files: list[tuple[int, str]]) -> None:
    """Write tokens, and nothing else."""
    for n, _ in files:
        file = _ready["folder"] / TOKENS / shard_name(n)
        with ShardWriter(file, SHARD_CLIPS * VIEWS) as shard:
            shard.put(0, VIEWS, _ready["tokens"][None].repeat(views_of(n), 0))


def command(folder: Path, count: int) -> float:
    """Seconds of the real command on the first ``count`` files."""
    write_manifest(folder, count)
    line = [
        sys.executable,
        "cli.py",
        "extract",
        "--dataset",
        "manifest",
        "--root",
        str(folder),
        "--cache-root",
        str(folder / "cache"),
    ]
    line += [
        "--backbone",
        BACKBONE[0],
        "--pretrained",
        BACKBONE[1],
        "--cut",
        str(CUT),
        "--frames",
        str(FRAMES),
        "--views",
        str(VIEWS),
        "--json",
    ]
    line += ["--device", DEVICE, "--engine", "ray"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["ok"] == count
    return float(json.loads(done.stdout)["seconds"])


def main() -> None:
    """Print the row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_videos(folder, MANY)
        many, few = command(folder, MANY), command(folder, FEW)
        clips = (*(Clip(f"c{n}", "x", "all", "train", ("x",)) for n in range(MANY)),)
        catalog = Catalog("bench", ("all",), clips)
        spec = CacheSpec("bench", "", "", "", "", CUT, FRAMES, VIEWS, 0, 1.0, False, {}, "")
        create_tokens(folder, catalog, spec, (50, 768))
        numbered = [(n, str(file)) for n, file in enumerate(files)][FEW:]
        shares = [numbered[core::CORES] for core in range(CORES)]
        parts: dict[str, float] = {}
        with multiprocessing.get_context("spawn").Pool(CORES, prepare, (folder,)) as pool:
            pool.map(write, [numbered[:1]] * CORES, chunksize=1)
            works: list[Callable[[list[tuple[int, str]]], None]] = [decode, stem, write]
            for work in works:
                pool.map(work, [numbered[:1]] * CORES, chunksize=1)
                began = time.perf_counter()
                pool.map(work, shares, chunksize=1)
                parts[work.__name__] = time.perf_counter() - began
    marginal, limit = many - few, (sum if DEVICE == "cpu" else max)(parts.values())
    start = few - marginal * FEW / (MANY - FEW)
    per_clip = ", ".join(f"{part} {1000 * s / (MANY - FEW):.0f}" for part, s in parts.items())
    limits = f"its parts, ms a clip: {per_clip}"
    rate = f"{(MANY - FEW) / marginal:.2f} clips/s once running, {start:.0f} s to start"
    print_rows([Row("extract, end to end", rate, limits, limit / marginal, 0.85)])


if __name__ == "__main__":
    main()

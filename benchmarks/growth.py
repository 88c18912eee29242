"""How time and memory grow with each size, on the demo backbone.

Makes the numbers and figures of docs/scaling.md.

python -m structalign.benchmarks.growth --out FOLDER          (about 15 minutes)

Each point is measured in a process of its own; memory is that of the largest process. Extraction
and whole runs use the real command. Run again, it measures only the rows that growth.json lacks.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..backbones.backbone import load_backbone
from ..core.defaults import CHECKPOINT_EVERY
from ..core.files import read_json
from ..evaluate.report.charts import line_chart, standalone
from ..experiments.driver import train_and_measure
from ..train.gallery import Block, Gallery
from ..train.methods.adapted import AdaptedMethod
from ..train.methods.finetune import Finetune
from ..train.methods.registry import load_method
from ..train.runs.create import create_run
from ..train.seeds import generator
from ..train.stream import Batch
from .parts.sentences import sentences
from .parts.synthetic import make_cache
from .parts.table import in_turn
from .parts.videos import make_videos, write_manifest

CLIPS, WORKERS, FRAMES, VIEWS = (32, 128, 512), (1, 2), (4, 8, 16), (1, 2, 4)
BATCHES, TASKS, TASK_CLIPS = (8, 16, 32, 64), (1, 5, 10, 20), (16, 64, 256)
CAPTIONS, GALLERY = (250, 500, 1000, 2000), (500, 2000, 8000)


def extract(folder: str, clips: int, engine: str, workers: int, frames: int, views: int) -> float:
    """Seconds of the command, including the start of Ray and its workers."""
    write_manifest(Path(folder), clips)
    with tempfile.TemporaryDirectory() as root:
        line = (
            "extract --dataset manifest --backbone demo --pretrained demo --cut 4 --frames "
            f"{frames} --views {views} --engine {engine} --workers {workers} --json"
        )
        return float(command(*line.split(), "--root", folder, "--cache-root", root)["seconds"])


def run(cache_root: str, tasks: int) -> float:
    """Seconds of training and evaluating a whole run of one epoch a task over the demo world."""
    with tempfile.TemporaryDirectory() as out:
        line = f"train --cache demo --tasks {tasks} --set epochs=1 --json"
        results = command(*line.split(), "--cache-root", cache_root, "--out", f"{out}/run")
        epochs = [json.loads(row) for row in Path(out, "run", "log.jsonl").read_text().splitlines()]
        return sum(row["seconds"] for row in epochs) + sum(
            stage["seconds"] for stage in results["stages"]
        )


def learn(clips: int, views: int, frames: int) -> float:
    """Seconds of a StructAlign run from cache to results.

    Two tasks of ``clips`` training clips with 4 captions each, 2 epochs a task.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cache = make_cache(
            root / "cache", 4, clips, 1, views, 4, frames=frames, weights=("demo", "demo")
        )
        settings, quiet = {"epochs": 2, "adapted_blocks": 2}, lambda *_: None
        began = time.perf_counter()
        run = create_run(
            cache, "structalign", 2, out=root / "run", device="cpu", settings=settings, log=quiet
        )
        train_and_measure(run, None, CHECKPOINT_EVERY, quiet, quiet)
        return time.perf_counter() - began


def step(batch: int, frames: int) -> float:
    """Seconds of a training step, forward and backward."""
    method = demo_method().train()
    ids = method.tokenize(sentences(batch))
    place = torch.arange(batch)
    tokens = torch.randn(batch, frames, 37, 128, generator=generator(0, "tokens"))

    def once() -> None:
        method.losses(Batch(tokens, place, ids, place, place, place, 0))["contrastive"].backward()

    return in_turn(3, {"step": once})["step"]


def score(captions: int, clips: int) -> float:
    """Seconds to encode captions by one route and score them against one block of 4-frame clips."""
    method = demo_method()
    drawn = torch.randn(clips, 4, method.towers.dim, generator=generator(0, "frames"))
    frames = torch.nn.functional.normalize(drawn, dim=-1)
    ids = method.tokenize(sentences(captions))
    gallery = Gallery([Block(2, tuple(map(str, range(clips))), frames)])
    return in_turn(1, {"score": lambda: gallery.score(method, ids)})["score"]


def demo_method() -> AdaptedMethod:
    """Finetune on the demo backbone, in its second task."""
    backbone = replace(load_backbone("demo", "demo"), cut=4)
    method = Finetune(backbone, load_method("finetune", "demo", "demo"), seed=0).eval()
    method._resize(2)
    method.task = 2
    return method


Rows = dict[str, dict[str, Sequence[float]]]  # by what grows, and how far: seconds, MB

POINTS: dict[str, Callable[..., float]] = {
    "extract": extract,
    "run": run,
    "learn": learn,
    "step": step,
    "score": score,
}


def command(*arguments: str) -> dict[str, Any]:
    """Run the real command line and read its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "structalign.cli", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def point(name: str, *arguments: Any) -> tuple[float, float]:
    """Measure one point in a process of its own: (seconds, MB of the largest process)."""
    line = [
        sys.executable,
        "-m",
        "structalign.benchmarks.growth",
        "--point",
        json.dumps([name, *arguments]),
    ]
    seconds, megabytes = json.loads(
        subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
    )
    print(
        name, *arguments[-4:], f"{seconds:.3g} s, {megabytes:.0f} MB", file=sys.stderr, flush=True
    )
    return seconds, megabytes


def figure(
    out: Path,
    name: str,
    title: str,
    xs: Sequence[int],
    series: dict[str, list[float]],
    x_label: str,
) -> None:
    """Draw one chart."""
    svg = line_chart(title, series, [str(x) for x in xs], x_label, "seconds")
    (out / f"{name}.svg").write_text(standalone(svg))


def main() -> None:
    """Measure all points and draw the figures, or measure the one given with --point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--point")
    given = parser.parse_args()
    if given.point:
        name, *arguments = json.loads(given.point)
        seconds = POINTS[name](*arguments)
        peak = (
            max(
                resource.getrusage(who).ru_maxrss
                for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            )
            / 1024
        )
        print(json.dumps([seconds, peak]))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    measured = given.out / "growth.json"
    rows: Rows = read_json(measured) if measured.exists() else {}

    def row(title: str, points: dict[int, tuple[Any, ...]]) -> None:
        if title not in rows:
            rows[title] = {str(x): point(*arguments) for x, arguments in points.items()}
            measured.write_text(json.dumps(rows, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name:
        videos = str(Path(name) / "videos")
        make_videos(Path(videos), max(CLIPS))
        for engine, label in (("inline", "one process"), ("ray", "Ray, two workers")):
            points = {n: ("extract", videos, n, engine, 2, 4, 2) for n in CLIPS}
            row(f"extract, clips, {label}", points)
        row("extract, Ray's workers (256 clips)",
            {n: ("extract", videos, 256, "ray", n, 4, 2) for n in WORKERS})  # fmt: skip
        row("extract, frames (256 clips, one process)",
            {n: ("extract", videos, 256, "inline", 1, n, 2) for n in FRAMES})  # fmt: skip
        row("extract, views (256 clips, one process)",
            {n: ("extract", videos, 256, "inline", 1, 4, n) for n in VIEWS})  # fmt: skip
        command("extract", "--dataset", "demo", "--cache-root", f"{name}/cache", "--json")
        row("run, K", {n: ("run", f"{name}/cache", n) for n in TASKS})
    row("learning, clips a task", {n: ("learn", n, 2, 4) for n in TASK_CLIPS})
    row("learning, views (64 clips)", {n: ("learn", 64, n, 4) for n in VIEWS})
    row("learning, frames (64 clips)", {n: ("learn", 64, 2, n) for n in FRAMES})
    row("step, batch (4 frames)", {n: ("step", n, 4) for n in BATCHES})
    row("step, frames (batch 16)", {n: ("step", 16, n) for n in FRAMES})
    for clips in GALLERY:
        row(f"score, captions ({clips} clips)", {n: ("score", n, clips) for n in CAPTIONS})
    grown = {name: [taken for taken, _ in points.values()] for name, points in rows.items()}
    figure(
        given.out,
        "growth-extract",
        "extraction by clips",
        CLIPS,
        {label: grown[f"extract, clips, {label}"] for label in ("one process", "Ray, two workers")},
        "clips",
    )
    figure(
        given.out,
        "growth-run",
        "run by K",
        TASKS,
        {"one epoch a task, 320 training and 1,200 test clips": grown["run, K"]},
        "K",
    )
    figure(
        given.out,
        "growth-step",
        "step by batch",
        BATCHES,
        {"training step": grown["step, batch (4 frames)"]},
        "batch",
    )
    scores = {f"{clips} clips": grown[f"score, captions ({clips} clips)"] for clips in GALLERY}
    figure(given.out, "growth-score", "evaluation by captions", CAPTIONS, scores, "captions")


if __name__ == "__main__":
    main()

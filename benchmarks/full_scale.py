"""A whole run at the size of MSR-VTT or ActivityNet, from cache to task matrix, on a GPU.

Prints where its time goes, its share of the peak rate, and its peak memory.

    python -m structalign.benchmarks.full_scale msrvtt|actnet [--device cpu --compute float32
    --share 0.2 --backbone demo]

Random weights and tokens, sentences of MSR-VTT's length; everything else is the real run.
``--share`` takes that part of clips, captions and epochs, for trying it out on a small machine.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..core.defaults import CHECKPOINT_EVERY
from ..experiments.driver import train_and_measure
from ..train.runs.create import create_run
from .parts.machine import peak_rate
from .parts.steps import make_trainer
from .parts.synthetic import BACKBONE, make_cache
from .parts.table import Row, print_rows

TRAIN, VIEWS, TASKS, EPOCHS = 16, 4, 10, 20


@dataclass(frozen=True)
class Size:
    """The size of a dataset.

    ``test`` clips a category, ``captions`` of a training clip, ``seconds`` allowed for the run.
    """

    categories: int
    test: int
    captions: int
    frames: int
    cut: int
    seconds: float


SIZES = {"msrvtt": Size(20, 150, 20, 12, 2, 180), "actnet": Size(200, 25, 1, 24, 0, 360)}


def measure(name: str, device: torch.device, compute: str, share: float, backbone: str) -> Row:
    """Train and evaluate one run of K = 10."""
    size = SIZES[name]
    overrides = {"compute": compute, "epochs": max(1, round(EPOCHS * share))}
    with tempfile.TemporaryDirectory() as folder:
        train, test, captions = (
            max(1, round(count * share)) for count in (TRAIN, size.test, size.captions)
        )
        weights = (backbone, "random:0")
        cache = make_cache(
            Path(folder) / "cache",
            size.cut,
            train,
            test,
            VIEWS,
            captions,
            size.categories,
            size.frames,
            name,
            weights,
        )
        trainer = make_trainer(
            cache,
            {key: value for key, value in overrides.items() if key != "epochs"},
            device,
            TASKS,
        )
        batches = list(trainer.task.batches(0))
        with FlopCounterMode(display=False) as counter:
            trainer.step(batches[0])
        steps = len(batches) * int(str(overrides["epochs"])) * TASKS
        del trainer
        peak = peak_rate(device, getattr(torch, compute))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        out, quiet = Path(folder) / "run", lambda *_: None
        began = time.perf_counter()
        run = create_run(
            cache, "structalign", TASKS, out=out, device=device.type, settings=overrides, log=quiet
        )
        results = train_and_measure(run, None, CHECKPOINT_EVERY, quiet, quiet)
        whole = time.perf_counter() - began
        learning = sum(
            json.loads(line).get("seconds", 0)
            for line in (out / "log.jsonl").read_text().splitlines()
        )
    evaluation = sum(stage.seconds for stage in results.stages)
    of_peak = counter.get_total_flops() * steps / learning / peak
    memory = (
        f", peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        if device.type == "cuda"
        else ""
    )
    parts = (
        f"{whole:.0f} s: training {learning:.0f}, evaluation {evaluation:.0f}, the rest "
        f"{whole - learning - evaluation:.0f}"
    )
    shares = (
        f"training at {of_peak:.2f} of the {peak / 1e12:.2f} TFLOP/s of a {compute} GEMM{memory}"
    )
    stage = f"{name} K = {TASKS}, whole run" + (f", {share:g} of it" if share != 1 else "")
    return Row(
        stage, f"{parts}; {shares}", f"{size.seconds:.0f} s, on a GPU", size.seconds / whole, 1
    )


def main() -> None:
    """Print the rows of the named datasets, by default of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compute", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--backbone", default=BACKBONE[0])
    given = parser.parse_args()
    print_rows(
        [
            measure(name, torch.device(given.device), given.compute, given.share, given.backbone)
            for name in given.names
        ]
    )


if __name__ == "__main__":
    main()

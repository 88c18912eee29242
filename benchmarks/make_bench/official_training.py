"""Our training step against the official code's.

ViT-B/32, 12 frames, tasks of 16 clips as at K = 20. A batch of 16 pairs has as many distinct clips,
in proportion, as the paper's 32 pairs over 32 clips.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from ...backbones.backbone import load_backbone
from ...train.stream import Batch, Task
from ..parts.machine import bfloat16_gain, gemm_rate
from ..parts.official_step import official_losses
from ..parts.steps import Trainer, make_trainer
from ..parts.synthetic import FRAMES, make_cache
from ..parts.table import Row, print_rows, seconds

CLIPS, VIEWS, CAPTIONS, EPOCHS, HEIGHT, WIDTH = 16, 4, 20, 20, 240, 320
SETTINGS = {"batch": 16, "batches": "pairs"}


def write_pngs(folder: Path) -> list[Path]:
    """Write frames of synthetic clips as PNG files, smooth enough to compress as photos do."""
    rng, folders = np.random.default_rng(0), []
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 40
    for clip in range(CLIPS):
        folders.append(folder / f"clip{clip}")
        folders[-1].mkdir()
        for n in range(FRAMES):
            waves = [
                128 + 100 * np.sin(a * x + b * y + n / 5) for a, b in rng.uniform(-1, 1, (3, 2))
            ]
            picture = np.stack(waves, -1) + rng.normal(0, 3, (HEIGHT, WIDTH, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folders[-1] / f"{n}.png")
    return folders


def usual_batch(task: Task) -> Batch:
    """The first batch of an epoch with the median number of distinct clips."""
    batches = list(task.batches(0))
    middle = sorted(len(batch.tokens) for batch in batches)[len(batches) // 2]
    return next(batch for batch in batches if len(batch.tokens) == middle)


def ours(trainer: Trainer) -> tuple[float, float]:
    """Seconds of a step, and a step's share of embedding the task with the teacher once."""
    task, method = trainer.task, trainer.method
    batch = usual_batch(task)
    trainer.step(batch)
    step = min(seconds(lambda: trainer.step(batch)) for _ in range(2))
    with torch.no_grad():
        view = seconds(lambda: method.frames(task.tokens[0]))
    captions = seconds(lambda: method.encode_texts(task.token_ids, 1))
    return step, (VIEWS * view + captions) / (EPOCHS * task.steps)


def operations(trainer: Trainer) -> int:
    """Floating-point operations of a step's matrix products, forward and backward."""
    batch = usual_batch(trainer.task)
    with FlopCounterMode(display=False) as counter:
        trainer.step(batch)
    return int(counter.get_total_flops())


def main() -> None:
    """Compare the official step with ours at the exact cut and with two adapted blocks.

    Where this machine is faster in bfloat16, ours is measured in bfloat16 too.
    """
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        cache = make_cache(Path(folder) / "exact", 2, CLIPS, 1, 1, CAPTIONS)
        trainer = make_trainer(cache, SETTINGS, device)
        backbone = load_backbone("ViT-B-32-quickgelu", "random:0")
        batch = usual_batch(trainer.task)
        folders = write_pngs(Path(folder))
        chosen = [folders[clip] for clip in batch.clips.tolist()]

        def official() -> None:
            losses = official_losses(
                trainer.method, backbone, chosen, batch.token_ids, batch.labels, FRAMES, 2
            )
            trainer.update(torch.stack(list(losses.values())).sum())

        gemm = gemm_rate(inner=768)
        step, teacher = ours(trainer)
        theirs = seconds(official)
        gemm = max(gemm, gemm_rate(inner=768))
        limit = f"the official step, {theirs:.1f} s"
        rows = [
            Row(
                "training step, exact (cut 2)",
                f"{step + teacher:.2f} s, {len(batch.tokens)} clips in 16 pairs",
                limit,
                theirs / (step + teacher),
                6,
            )
        ]
        done = operations(trainer)
        rows.append(
            Row(
                "training step, exact (cut 2)",
                f"{done / step / 1e9:.0f} GFLOP/s",
                f"GEMM alone, {gemm / 1e9:.0f}",
                done / step / gemm,
                0.75,
            )
        )
        if bfloat16_gain() > 1:
            rounded = sum(ours(make_trainer(cache, {**SETTINGS, "compute": "bfloat16"}, device)))
            rows.append(
                Row(
                    "training step, exact (cut 2), compute=bfloat16",
                    f"{rounded:.2f} s",
                    limit,
                    theirs / rounded,
                    6,
                )
            )
        fast = make_cache(Path(folder) / "fast", 10, CLIPS, 1, 1, CAPTIONS)
        short = sum(ours(make_trainer(fast, {**SETTINGS, "adapted_blocks": 2}, device)))
        rows.append(
            Row("training step, fast preset (cut 10)", f"{short:.2f} s", limit, theirs / short, 15)
        )
    print_rows(rows)


if __name__ == "__main__":
    main()

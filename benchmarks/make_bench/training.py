"""What the cache costs a training step: ViT-B/32, batch 32, 12 frames, MSR-VTT's settings."""

import tempfile
import time
from itertools import chain
from pathlib import Path

import torch

from ..parts.steps import make_trainer
from ..parts.synthetic import make_cache
from ..parts.table import Row, print_rows, seconds

EPOCHS = 20


def main() -> None:
    """Compare a step on tensors in memory with one that pays for its share of the cache.

    Its share is to read the task once, and to make each batch.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        cache = make_cache(Path(folder), 2, train=32, test=1, views=4, captions=20)
        trainer = make_trainer(cache, {}, device)
        task, method = trainer.task, trainer.method
        load = seconds(lambda: trainer.run.stream.task(2, method.tokenize, method.layout.columns))
        began = time.perf_counter()
        batches = [len(batch.token_ids) for batch in chain(task.batches(0), task.batches(1))]
        fetch = (time.perf_counter() - began) / len(batches)
        batch = next(iter(task.batches(0)))
        step = seconds(lambda: trainer.step(batch))
    data = fetch + load / (EPOCHS * task.steps)
    rate = f"{step + data:.1f} s, {1000 * data:.0f} ms of it data"
    print_rows(
        [
            Row(
                f"training step from the cache (batch {len(batch.token_ids)})",
                rate,
                "the same step in memory",
                step / (step + data),
                0.95,
            )
        ]
    )


if __name__ == "__main__":
    main()

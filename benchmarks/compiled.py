"""A compiled training step against the eager one, where kernel launches take most of the time.

python -m structalign.benchmarks.compiled [--backbone demo]

ViT-B/32 cut at 2, batch 32, 12 frames, MSR-VTT's settings, in bfloat16 on a GPU. ``--backbone
demo`` tries it out without one.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from .parts.steps import make_trainer
from .parts.synthetic import BACKBONE, make_cache
from .parts.table import Row, in_turn, print_rows, seconds

ROUNDS = 20


def main() -> None:
    """Time both steps in turn, after the first compiled one, whose time is reported separately."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default=BACKBONE[0])
    backbone = parser.parse_args().backbone
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    common = {"compute": "bfloat16" if device.type == "cuda" else "float32"}
    with tempfile.TemporaryDirectory() as folder:
        cache = make_cache(
            Path(folder), 2, train=32, test=1, views=4, captions=20, weights=(backbone, "random:0")
        )
        eager, fused = (
            make_trainer(cache, {**common, "compile": wanted}, device) for wanted in (False, True)
        )
        batch = next(iter(eager.task.batches(0)))
        first = seconds(lambda: fused.step(batch))
        taken = in_turn(
            ROUNDS, {"eager": lambda: eager.step(batch), "compiled": lambda: fused.step(batch)}
        )
    print_rows(
        [
            Row(
                f"training step, compiled ({backbone}, batch {len(batch.token_ids)})",
                f"{1000 * taken['compiled']:.1f} ms, {first:.0f} s for the first",
                f"eager, {1000 * taken['eager']:.1f} ms",
                taken["eager"] / taken["compiled"],
                1,
            )
        ]
    )


if __name__ == "__main__":
    main()

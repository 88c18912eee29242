"""A whole zero-shot run at MSR-VTT's sizes, K = 20, against one stage measured alone.

python -m structalign.benchmarks.make_bench.zero_shot [--cut 10]

ViT-B/32 with random weights: 320 training and 3,000 test clips of 12 frames, a caption each. One
stage encodes the clips and captions of the last stage and compares all. The run additionally puts
training clips into its gallery and computes the figures of all twenty stages.
"""

import argparse
import tempfile
from pathlib import Path

from ...core.defaults import CHECKPOINT_EVERY
from ...evaluate.protocol import stage_scores
from ...experiments.driver import train_and_measure
from ...train.gallery import Gallery
from ...train.loop import encode_clips
from ...train.runs.create import create_run
from ...train.runs.run import Run
from ..parts.synthetic import make_cache
from ..parts.table import Row, print_rows, seconds

TASKS, TRAIN, TEST, CAPTIONS = 20, 16, 150, 20


def one_stage(run: Run) -> None:
    """The last stage from the cache's tokens on, without anything kept from earlier stages."""
    method, tasks = run.new_method().eval(), range(1, TASKS + 1)
    blocks = [encode_clips(run.stream, task, task, method.pretrained) for task in tasks]
    queries = [run.stream.queries(task, method.tokenize) for task in tasks]
    stage_scores(method.pretrained, Gallery(blocks), queries)


def main() -> None:
    """Print the row: the run, then the stage alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cut", type=int, default=10)
    cut = parser.parse_args().cut
    with tempfile.TemporaryDirectory() as folder:
        cache = make_cache(Path(folder), cut, TRAIN, TEST, 1, CAPTIONS, TASKS)
        quiet = lambda *_: None  # noqa: E731
        run = create_run(cache, "zeroshot", TASKS, out=Path(folder) / "run", log=quiet)
        whole = seconds(lambda: train_and_measure(run, None, CHECKPOINT_EVERY, quiet, quiet))
        alone = seconds(lambda: one_stage(run))
    limit = f"one stage alone, {alone:.0f} s"
    print_rows(
        [Row(f"zeroshot, K = {TASKS}, cut {cut}", f"{whole:.0f} s", limit, alone / whole, 0.5)]
    )


if __name__ == "__main__":
    main()

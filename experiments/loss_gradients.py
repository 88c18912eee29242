"""The gradient norm of each term of StructAlign's loss, and the drift of its stored prototypes.

python -m structalign.experiments.loss_gradients --cache REF [--until 5] [--seed 0]

Trains K = 10 tasks up to ``--until`` and prints a line per task: the mean norm of each term's
gradient over every tenth step; the cosine of the first task's stored prototypes to what the model
makes of that task now; and the mean cosine of text and video prototypes, within a class and
between classes.
"""

import argparse
import statistics
import tempfile

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import open_cache
from ..train.loop import TaskLearnt, train_stream
from ..train.methods.structalign.method import StructAlign
from ..train.runs.create import create_run
from ..train.runs.run import Run
from ..train.stream import Batch

EVERY, TASKS = 10, 10


class Watch:
    """Records gradient norms by term while a method computes its losses."""

    def __init__(self, method: StructAlign) -> None:
        self.method, self.losses, self.steps = method, method.losses, 0
        self.norms: dict[str, list[float]] = {}
        method.losses = self.watched  # type: ignore[method-assign]

    def watched(self, batch: Batch) -> dict[str, Tensor]:
        """The method's losses; at every tenth step, records the norm of each term's gradient."""
        terms = self.losses(batch)
        self.steps += 1
        if self.steps % EVERY == 0:
            learnt = [p for p in self.method.parameters() if p.requires_grad]
            for name, value in terms.items():
                gradients = torch.autograd.grad(value, learnt, retain_graph=True, allow_unused=True)
                squares = [grad.square().sum() for grad in gradients if grad is not None]
                self.norms.setdefault(name, []).append(float(torch.stack(squares).sum().sqrt()))
        return terms

    def summary(self) -> str:
        """Mean norms since the last call."""
        shown = [f"{name} {statistics.fmean(values):.2f}" for name, values in self.norms.items()]
        self.norms.clear()
        return ", ".join(shown)


def prototypes(run: Run, method: StructAlign) -> str:
    """Drift of the first task's prototypes, and cosines of text and video prototypes."""
    kept, task = method.prototypes, run.stream.task(1, method.tokenize, method.layout.columns)
    labels, text, video = method.prototype_features(task)
    drift = []
    for stored, now in ((kept.text_mean, text), (kept.video_mean, video)):
        means = torch.stack([now[labels == label].mean(0) for label in labels.unique()])
        drift.append(float(F.cosine_similarity(stored[: len(means)], means, dim=-1).mean()))
    cosines = F.normalize(kept.text_mean, dim=-1) @ F.normalize(kept.video_mean, dim=-1).T
    same = float(cosines.diagonal().mean())
    others = float((cosines.sum() - cosines.diagonal().sum()) / (cosines.numel() - len(cosines)))
    return (
        f"drift text {drift[0]:.2f}, video {drift[1]:.2f}; text and video {same:.2f} within a "
        f"class, {others:.2f} between"
    )


def main() -> None:
    """Train one run and print a line per task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--cache-root")
    parser.add_argument("--until", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cache = open_cache(args.cache, args.cache_root)
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(cache, "structalign", TASKS, args.seed, f"{folder}/run", device="cpu")
        watch: Watch | None = None
        for event in train_stream(run, args.until):
            method = getattr(event, "method", None)
            if watch is None and isinstance(method, StructAlign):
                watch = Watch(method)
            if isinstance(event, TaskLearnt) and watch is not None:
                state = prototypes(run, watch.method)
                print(f"task {event.task}: {watch.summary()}; {state}", flush=True)


if __name__ == "__main__":
    main()

"""A training step of StructAlign on the second of two tasks, MSR-VTT's settings, without task 1."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...cache.reader import FeatureCache
from ...train.methods.registry import load_method
from ...train.methods.structalign.method import StructAlign, Teacher
from ...train.optimizer import ExpertAdamW, build_optimizer, clip_gradients
from ...train.runs.run import Run
from ...train.seeds import generator
from ...train.stream import Batch, Task


@dataclass(frozen=True)
class Trainer:
    """A run's second task, its method and its optimizer."""

    run: Run
    method: StructAlign
    task: Task
    optimizer: ExpertAdamW

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One training step as in the loop. Returns the losses before it."""
        losses = self.method.losses(batch)
        self.update(torch.stack(list(losses.values())).sum())
        return losses

    def update(self, loss: Tensor) -> None:
        """Backward, clip gradients, update the weights."""
        loss.backward()
        clip_gradients(list(self.method.parameters()), self.run.settings.clip_norm)
        self.optimizer.step(1.0)
        self.optimizer.zero_grad()


def make_trainer(
    cache: FeatureCache, overrides: dict[str, Any], device: torch.device, tasks: int = 2
) -> Trainer:
    """A trainer of the second task.

    Prototypes of task 1 and the teacher's embeddings are noise; a step's time does not depend on
    them.
    """
    spec = cache.spec
    config = load_method("structalign", spec.dataset, spec.backbone, overrides)
    body = {
        "method": config.name, "source": config.source, "tasks": tasks, "seed": 0,
        "dataset": spec.dataset, "fingerprint": cache.fingerprint, "settings": config.as_json(),
    }  # fmt: skip
    run = Run(cache.path / "never-written", body, [cache], device)
    method = run.new_method()
    assert isinstance(method, StructAlign)
    task = run.stream.task(2, method.tokenize, method.layout.columns)
    g, dim = generator(0, "benchmark"), method.towers.dim
    method._resize(2)
    labels = torch.arange(task.first_class, device=device)
    drawn = torch.randn(len(labels), dim, generator=g).to(device)
    method.prototypes.add(labels, drawn, drawn.flip(0))
    with torch.no_grad():
        for adapter in method.frame_fusion.values():
            adapter.get_parameter("alpha").fill_(0.1)
    options, method.options = method.options, replace(method.options, crp_weight=0)
    method.begin_task(task)  # without its own teacher, which takes long
    method.options = options
    lengths = method.layout.lengths(task.token_ids)
    frames = (len(task.tokens), len(task.clip_labels), spec.frames, dim)
    words = (len(task.token_ids), int(lengths.max()), dim)
    method.teacher = Teacher(
        torch.randn(frames, generator=g).to(device),
        torch.randn(words, generator=g).to(device),
        lengths,
        method.towers.scale.detach(),
    )
    optimizer = build_optimizer(method.parameter_groups(), run.settings, first_task=False)
    return Trainer(run, method.train(), task, optimizer)

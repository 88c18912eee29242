"""A training step of StructAlign on the second of two tasks, MSR-VTT's settings, without the pass that leads there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cache.store import FeatureCache
from train.adapters import GeneratorNoise
from train.experiment import Experiment, make_config, make_experiment
from train.methods.structalign import StructAlign, Teacher
from train.optimizer import ExpertAdamW, build_optimizer, clip_gradients
from train.prototypes import ClassPrototypes
from train.seeds import generator
from train.settings import resolve
from train.stream import Batch, Task


@dataclass(frozen=True)
class Trainer:
    """Everything that a step needs."""

    experiment: Experiment
    method: StructAlign
    task: Task
    optimizer: ExpertAdamW
    noise: GeneratorNoise

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """As in the loop; the losses before the step."""
        losses = self.method.losses(batch, self.noise)
        self.update(torch.stack(list(losses.values())).sum())
        return losses

    def update(self, loss: Tensor) -> None:
        """Backward, clip, step."""
        loss.backward()
        clip_gradients(self.optimizer.parameters(), self.experiment.settings.clip_norm)
        self.optimizer.step(1.0)
        self.optimizer.zero_grad()


def make_trainer(cache: FeatureCache, overrides: dict[str, str], device: torch.device, tasks: int = 2) -> Trainer:
    """The second task's of so many, with old prototypes and a teacher whose embeddings are noise: a step's time does not depend on their values."""
    config = make_config(cache, resolve(cache.catalog.dataset, "structalign", overrides), tasks, seed=0)
    experiment = make_experiment(cache, config, device)
    model, method = experiment.model, experiment.method
    assert isinstance(method, StructAlign)
    task = experiment.stream.task(2, experiment.tokenize)
    method.task, g = 2, generator(0, "benchmark")
    clips, queries = len(task.clip_labels), len(task.ids)
    lengths = task.ids.argmax(-1) - 1
    method.teacher = Teacher(
        torch.randn(len(task.tokens), clips, cache.spec.frames, model.dim, generator=g).to(device),
        torch.randn(queries, int(lengths.max()), model.dim, generator=g).to(device),
        lengths,
        model.scale.detach(),
    )
    labels = torch.arange(task.first_class, device=device)
    means, radii = torch.randn(2, len(labels), model.dim, generator=g).to(device), torch.rand(2, len(labels), generator=g).to(device)
    method.prototypes = ClassPrototypes(labels, means[0], radii[0], means[1], radii[1])
    with torch.no_grad():
        for adapter in model.video.adapters.values():
            adapter.alpha.fill_(0.1)
    return Trainer(experiment, method, task, build_optimizer(model, experiment.settings, 2), GeneratorNoise(generator(0, "noise")))

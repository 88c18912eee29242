"""The continual training loop."""

from collections.abc import Callable
from typing import Any

import torch

from cache.errors import StructAlignError
from train.adapters import GeneratorNoise
from train.database import Block
from train.methods.base import Method
from train.model import Model
from train.optimizer import build_optimizer, clip_gradients
from train.runs import Run
from train.schedule import learning_rate_factor
from train.seeds import generator
from train.settings import Settings
from train.stream import Task, TaskStream, Tokenize

EvaluateStage = Callable[[int], dict[str, Any]]
Progress = Callable[[int, int, dict[str, float]], None]


def train(
    stream: TaskStream, tokenize: Tokenize, model: Model, method: Method, run: Run, settings: Settings, evaluate: EvaluateStage, progress: Progress
) -> None:
    """Train every task that ``run`` has not finished; evaluate after each. ``evaluate(stage)`` measures stage 0, 1, ... K."""
    finished = run.finished
    recorded = {stage["stage"] for stage in run.stages()}
    if 0 not in recorded:
        run.record(evaluate(0))
    if finished:
        run.load(finished, model, method)
        if finished not in recorded:
            run.record(evaluate(finished))
    for number in range(finished + 1, stream.tasks + 1):
        task = stream.task(number, tokenize, everything=method.joint and number == 1)
        method.begin_task(task)
        if method.trains and not (method.joint and number > 1):
            learn(task, model, method, run, settings, progress)
            method.end_task(task)
            if number == 1:
                model.text.copy_first_experts()
        frames = model.encode_video(stream.query_tokens(task.queries), adapted=method.trains)
        run.commit(number, model, method, Block(task.queries.clips, frames.cpu()))
        run.record(evaluate(number))


def learn(task: Task, model: Model, method: Method, run: Run, settings: Settings, progress: Progress) -> None:
    """All epochs of one task, with an optimizer and a schedule of its own.

    Raises:
        StructAlignError: the loss is no longer a number.
    """
    optimizer = build_optimizer(model, settings, task.number)
    optimised = optimizer.parameters()
    clipped = optimised if settings.clip_scope == "optimised" else list(model.parameters())
    noise = GeneratorNoise(generator(task.seed, "noise", task.number))
    total = task.steps * settings.epochs
    warmup = int(settings.warmup * total) if task.number == 1 else 0
    step = 0
    for epoch in range(settings.epochs):
        for batch in task.batches(epoch):
            losses = method.losses(batch, noise)
            loss = torch.stack(list(losses.values())).sum()
            loss.backward()
            norm = clip_gradients(clipped, settings.clip_norm)
            if not torch.isfinite(norm):
                raise StructAlignError(f"task {task.number}, epoch {epoch + 1}: the loss is no longer a number; lower the learning rates")
            optimizer.step(learning_rate_factor(step, total, warmup, settings.schedule))
            optimizer.zero_grad()
            step += 1
        measured = {name: float(value.detach()) for name, value in losses.items()}
        run.log({"task": task.number, "epoch": epoch + 1, **measured})
        progress(task.number, epoch + 1, measured)

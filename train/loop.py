"""The continual training loop."""

import time
from collections.abc import Callable
from typing import Any

import torch

from cache.errors import StructAlignError
from train.adapters import GeneratorNoise
from train.checkpoint import EpochCheckpoints
from train.database import Block
from train.methods.base import Method
from train.model import Model
from train.optimizer import build_optimizer, clip_gradients
from train.runs import Run
from train.schedule import learning_rate_factor
from train.seeds import generator
from train.selection import EpochChoice
from train.settings import Settings
from train.stream import Side, Task, TaskStream, Tokenize

EvaluateStage = Callable[[int], dict[str, Any]]
ScoreEpoch = Callable[[int], float]
Progress = Callable[[int, int, dict[str, float]], None]


def train(
    stream: TaskStream, tokenize: Tokenize, model: Model, method: Method, run: Run, settings: Settings,
    evaluate: EvaluateStage, score: ScoreEpoch, progress: Progress, checkpoint_every: float,
) -> None:  # fmt: skip
    """Train every task that ``run`` has not finished, from its last checkpoint on; evaluate after each.

    ``evaluate(stage)`` measures stage 0, 1, ... K; ``score(task)`` is what ``selection`` compares the epochs of a task by.
    """
    finished = run.finished
    checkpoints = EpochCheckpoints(run.path / "unfinished", checkpoint_every)
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
            learn(task, model, method, run, settings, score, progress, checkpoints)
            method.end_task(task)
            if number == 1:
                model.text.copy_first_experts()
        run.commit(number, model, method, blocks(stream, tokenize, model, method, number, settings))
        checkpoints.clear()
        run.record(evaluate(number))


def blocks(stream: TaskStream, tokenize: Tokenize, model: Model, method: Method, number: int, settings: Settings) -> dict[Side, Block]:
    """A finished task's blocks of the video database, by side: what is measured on, and what epochs are chosen by."""
    sides: set[Side] = {settings.measured_on, settings.chosen_on or settings.measured_on}
    searched = {side: stream.queries(number, tokenize, side) for side in sides}
    return {side: Block(q.clips, model.encode_video(stream.query_tokens(q), adapted=method.trains).cpu()) for side, q in searched.items()}


def learn(
    task: Task, model: Model, method: Method, run: Run, settings: Settings, score: ScoreEpoch, progress: Progress, checkpoints: EpochCheckpoints
) -> None:
    """All epochs of one task, with an optimizer and a schedule of its own.

    Raises:
        StructAlignError: the loss is no longer a number.
    """
    optimizer = build_optimizer(model, settings, task.number)
    optimised = optimizer.parameters()
    clipped = optimised if settings.clip_scope == "optimised" else list(model.parameters())
    noise = GeneratorNoise(generator(task.seed, "noise", task.number))
    generators = {"noise": noise.generator, **method.generators()}
    total = task.steps * settings.epochs
    warmup = int(settings.warmup * total) if task.number == 1 else 0
    choice = EpochChoice(settings.selection, model) if settings.selection != "last" else None
    done = checkpoints.restore(task.number, model, optimizer, generators, choice)
    step = done * task.steps
    for epoch in range(done if choice is None or choice.going else settings.epochs, settings.epochs):
        began = time.monotonic()
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
        if choice is not None:
            measured["score"] = score(task.number)
            choice.offer(epoch + 1, measured["score"])
        run.log({"task": task.number, "epoch": epoch + 1, **measured, "seconds": round(time.monotonic() - began, 3)})
        progress(task.number, epoch + 1, measured)
        checkpoints.save(task.number, epoch + 1, model, optimizer, generators, choice)
        if choice is not None and not choice.going:
            break
    if choice is not None:
        choice.restore()
        run.log({"task": task.number, "kept_epoch": choice.epoch, "score": choice.best})

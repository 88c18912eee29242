"""The continual training loop, as a generator."""

import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from .. import __version__
from ..core.defaults import CHECKPOINT_EVERY
from ..core.errors import StructAlignError
from .epoch_selection import BestEpoch, selection_score
from .gallery import ZERO_SHOT, Block, Gallery
from .method_config import EvalSplit
from .methods.base import Encoder, Method
from .optimizer import build_optimizer, clip_gradients, learning_rate_factor
from .runs.checkpoint import EpochCheckpoints
from .runs.folder import UNFINISHED
from .runs.run import Run
from .stream import Task, TaskStream


@dataclass(frozen=True)
class TaskArrived:
    """A task is about to be learnt; ``zero_shot``: its evaluated clips by the towers alone."""

    task: int
    method: Method
    zero_shot: Block


@dataclass(frozen=True)
class EpochDone:
    """An epoch has ended: the mean of each loss term, and ``score`` where an epoch is selected."""

    task: int
    epoch: int
    losses: dict[str, float]

    @property
    def loss(self) -> float:
        """The sum of the loss terms."""
        return sum(value for name, value in self.losses.items() if name != "score")


@dataclass(frozen=True)
class TaskLearnt:
    """A task is finished and saved; ``gallery``: the evaluated clips of all tasks so far."""

    task: int
    method: Method
    gallery: Gallery


Event = TaskArrived | EpochDone | TaskLearnt


def train_stream(
    run: Run, until: int | None = None, checkpoint_every: float = CHECKPOINT_EVERY
) -> Iterator[Event]:
    """Train every task that ``run`` has not finished, up to task ``until``, under its lease.

    Raises StructAlignError if another process trains this run, or as ``learn`` does.
    """
    with run.lease_for_training():
        yield from train_tasks(run, until, checkpoint_every)


def train_tasks(
    run: Run, until: int | None = None, checkpoint_every: float = CHECKPOINT_EVERY
) -> Iterator[Event]:
    """Train every task that ``run`` has not finished, up to task ``until``.

    The caller holds the run's lease. Yields before and after each task, and after each epoch; the
    caller measures, prints or stops. The state within a task is saved at the end of an epoch, at
    most every ``checkpoint_every`` seconds. Raises as ``learn`` does.
    """
    stream = run.stream
    log_session(run.path, run.device)
    method = run.method_after(run.finished)
    checkpoints = EpochCheckpoints(run.path / UNFINISHED, checkpoint_every)
    gallery: Gallery | None = None
    for number in range(run.finished + 1, min(until or len(stream), len(stream)) + 1):
        zero_shot = encode_clips(stream, number, number, method.pretrained)
        yield TaskArrived(number, method, zero_shot)
        task = stream.task(number, method.tokenize, method.layout.columns)
        method.begin_task(task)
        if method.parameter_groups():
            yield from learn(task, method, run, checkpoints)
        method.end_task(task)
        blocks = {**gallery_blocks(run, method, number, zero_shot), ZERO_SHOT: zero_shot}
        run.save_task(number, method, blocks)
        checkpoints.clear()
        earlier = run.gallery(number - 1) if gallery is None else gallery
        gallery = Gallery([*earlier.blocks, blocks[run.settings.eval_split]])
        yield TaskLearnt(number, method, gallery)


def learn(
    task: Task, method: Method, run: Run, checkpoints: EpochCheckpoints
) -> Iterator[EpochDone]:
    """All epochs of one task. Raises StructAlignError when the loss is no longer a number."""
    settings = run.settings
    optimizer = build_optimizer(method.parameter_groups(), settings, task.number == 1)
    total = task.steps * settings.epochs
    warmup = int(settings.warmup * total) if task.number == 1 else 0
    best = score = None
    if settings.selection_split and settings.selection != "last":
        best = BestEpoch(settings.selection, method)
        old = run.gallery(task.number - 1, settings.selection_split)
        score = selection_score(method, run.stream, old, task.number)
    done = checkpoints.restore(task.number, method, optimizer, best)
    step = done * task.steps
    for epoch in range(done, settings.epochs):
        if best is not None and not best.should_continue:
            break
        began, sums = time.monotonic(), dict[str, Tensor]()
        is_finite = torch.ones((), dtype=torch.bool, device=run.device)
        method.train()
        for batch in task.batches(epoch):
            losses = method.losses(batch)
            torch.stack(list(losses.values())).sum().backward()
            norm = clip_gradients(list(method.parameters()), settings.clip_norm)
            is_finite &= torch.isfinite(norm)
            optimizer.step(learning_rate_factor(step, total, warmup, settings.schedule))
            optimizer.zero_grad()
            method.after_step(step)
            step += 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach()
        method.eval()
        if not is_finite:  # once an epoch, since reading it waits for the device
            raise StructAlignError(
                f"task {task.number}, epoch {epoch + 1}: the loss is no longer a number; "
                "lower the learning rates"
            )
        measured = {name: float(value) / task.steps for name, value in sums.items()}
        if best is not None and score is not None:
            measured["score"] = score()
            best.update(epoch + 1, measured["score"])
        seconds = round(time.monotonic() - began, 3)
        run.log({"task": task.number, "epoch": epoch + 1, **measured, "seconds": seconds})
        yield EpochDone(task.number, epoch + 1, measured)
        checkpoints.save(task.number, epoch + 1, method, optimizer, best)
    if best is not None:
        best.restore()
        run.log({"task": task.number, "kept_epoch": best.epoch, "score": best.best})


def encode_clips(
    stream: TaskStream,
    number: int,
    route_task: int,
    encoder: Encoder,
    split: EvalSplit | Literal["train"] | None = None,
) -> Block:
    """A task's evaluated clips, or those of ``split``, encoded by the route of ``route_task``."""
    if split == "train":
        clips = stream.train_clips(number, with_heldout=True)
    else:
        clips = stream.eval_clips(number, split)
    embeddings = encoder.encode_videos(stream.tokens(number, clips), route_task).cpu()
    return Block(route_task, tuple(clip.id for clip in clips), embeddings)


def gallery_blocks(run: Run, method: Method, number: int, zero_shot: Block) -> dict[str, Block]:
    """A finished task's gallery blocks by split; ``zero_shot`` where a method learns nothing."""
    known = {str(run.settings.eval_split): zero_shot} if method.is_pretrained else {}
    splits: set[EvalSplit | Literal["train"]] = {*run.stream.eval_splits, "train"}
    return known | {
        split: encode_clips(run.stream, number, number, method, split)
        for split in splits - set(known)
    }


def log_session(run: Path, device: torch.device) -> None:
    """Append the date, this machine and the packages' versions to a run's ``sessions.jsonl``."""
    entry = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": platform.node(),
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": {"structalign": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "open_clip_torch", "numpy")},
    }
    with (run / "sessions.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")

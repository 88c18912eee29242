"""The driver: a run is trained and measured, task by task, until its results are written."""

from collections.abc import Iterator

from ..core.console import Log, Progress
from ..core.defaults import CHECKPOINT_EVERY
from ..evaluate.evaluator import Evaluator, Record
from ..evaluate.records import add_earlier_tasks, is_whole_stage, missing_stages
from ..evaluate.results import Results, save_results
from ..train.loop import EpochDone, TaskArrived, TaskLearnt, train_stream
from ..train.runs.run import Run

HARDLY = 0.995  # of the first epoch's loss
NOTHING = 0.01  # a loss that is as good as 0: a single clip has no other to be told from


def measure_training(
    run: Run, until: int | None = None, checkpoint_every: float = CHECKPOINT_EVERY
) -> Iterator[EpochDone | Record]:
    """Train a run and measure it: yields epochs, and what is known of each finished stage."""
    evaluator, last = Evaluator(run.stream), min(until or len(run.stream), len(run.stream))
    yield from missing_stages(run, last)
    for event in train_stream(run, until, checkpoint_every):
        if isinstance(event, TaskArrived):
            add_earlier_tasks(evaluator, run, event.task, event.method)
            evaluator.arrive(event.method, event.zero_shot)
        elif isinstance(event, TaskLearnt):
            is_whole = is_whole_stage(run, event.task, last)
            stage = evaluator.stage(event.method, event.gallery, is_whole)
            run.save_stage(stage)
            yield stage
        else:
            yield event


def train_and_measure(
    run: Run, until: int | None, checkpoint_every: float, progress: Progress, log: Log
) -> Results:
    """Train a run, measure every stage, leave ``results.json``."""
    epochs, total = run.settings.epochs, len(run.stream) * run.settings.epochs
    recall, losses = "", []
    for event in measure_training(run, until, checkpoint_every):
        if isinstance(event, EpochDone):
            losses.append(event.loss)
            progress((event.task - 1) * epochs + event.epoch, total, event.summary() + recall)
            continue
        if event["t2v"] is None:
            own = event["row"]["t2v/stored/task"][-1]["R@1"]
            log(f"task {event['stage']}: R@1 {own:.2f} within the task ({event['seconds']:.1f} s)")
        else:
            now, before = event["t2v"]["R@1"], event["zero_shot"]["t2v"]["R@1"]
            where = f"{event['clips']} clips, zero-shot {before:.2f} ({event['seconds']:.1f} s)"
            log(f"task {event['stage']}: R@1 {now:.2f} over {where}")
            recall = f", R@1 {now:.2f} after task {event['stage']}"
        if len(losses) > 1 and losses[0] > NOTHING and losses[-1] > HARDLY * losses[0]:
            log(
                f"task {event['stage']}: the loss went from {losses[0]:.4f} to {losses[-1]:.4f}: "
                "hardly anything was learnt; try higher lr_text, lr_vision and lr_other"
            )
        losses = []
    return save_results(run)

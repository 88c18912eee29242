"""The driver: a run is trained and measured, task by task, until its results are written."""

from collections.abc import Iterator

from ..core.console import Log, Progress
from ..core.defaults import CHECKPOINT_EVERY
from ..evaluate.evaluator import Evaluator, Record
from ..evaluate.records import add_earlier_tasks, is_whole_stage, missing_stages
from ..evaluate.results import Results, save_results
from ..train.loop import EpochDone, TaskArrived, TaskLearnt, train_tasks
from ..train.runs.run import Run

STALLED = 0.995  # of the first epoch's loss: above it hardly anything was learnt
NEGLIGIBLE = 0.01  # a loss as good as 0, as that of a task with a single clip


def measure_training(
    run: Run, until: int | None = None, checkpoint_every: float = CHECKPOINT_EVERY
) -> Iterator[EpochDone | Record]:
    """Train a run and measure it: yields each epoch, and the record of each finished stage.

    The caller holds the run's lease.
    """
    evaluator, last = Evaluator(run.stream), min(until or len(run.stream), len(run.stream))
    yield from missing_stages(run, last)
    for event in train_tasks(run, until, checkpoint_every):
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
    """Train a run, measure every stage and write ``results.json``.

    Args:
        run: new, or to be resumed.
        until: the last task of this session; None for all.
        checkpoint_every: seconds between checkpoints within a task.
        progress: called with epochs done, epochs in all, and a detail.
        log: called with a line after each task.

    Raises:
        StructAlignError: another process has the run's lease, or the loss is no longer a number.
    """
    with run.lease_for_training():
        _train_and_measure(run, until, checkpoint_every, progress, log)
        return save_results(run)


def _train_and_measure(
    run: Run, until: int | None, checkpoint_every: float, progress: Progress, log: Log
) -> None:
    epochs, total = run.settings.epochs, len(run.stream) * run.settings.epochs
    recall, losses = "", []
    for event in measure_training(run, until, checkpoint_every):
        if isinstance(event, EpochDone):
            losses.append(event.loss)
            progress((event.task - 1) * epochs + event.epoch, total, event.summary() + recall)
            continue
        if event["t2v"] is None:
            within = event["row"]["t2v/stored/task"][-1]["R@1"]
            spent = f"({event['seconds']:.1f} s)"
            log(f"task {event['stage']}: R@1 {within:.2f} within the task {spent}")
        else:
            now, before = event["t2v"]["R@1"], event["zero_shot"]["t2v"]["R@1"]
            where = f"{event['clips']} clips, zero-shot {before:.2f} ({event['seconds']:.1f} s)"
            log(f"task {event['stage']}: R@1 {now:.2f} over {where}")
            recall = f", R@1 {now:.2f} after task {event['stage']}"
        if len(losses) > 1 and losses[0] > NEGLIGIBLE and losses[-1] > STALLED * losses[0]:
            log(
                f"task {event['stage']}: the loss went from {losses[0]:.4f} to {losses[-1]:.4f}: "
                "hardly anything was learnt; try higher lr_text, lr_vision and lr_other"
            )
        losses = []

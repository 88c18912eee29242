"""The driver: a run is trained and measured, task by task, until its results are written."""

from collections.abc import Iterator

from ..core.console import Log, Progress
from ..core.defaults import CHECKPOINT_EVERY
from ..evaluate.evaluator import Evaluator, Record
from ..evaluate.records import is_whole_stage, missing_stages, zero_shot_block
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
            for number in range(len(evaluator.queries) + 1, event.task):  # of earlier sessions
                evaluator.add(event.method, zero_shot_block(run, number))
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
    """Train a new run or resume one, measure every stage and write ``results.json``.

    ``until``: the last task of this session; ``log`` is called with a line after each task. Raises
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
            detail = f"task {event.task}, epoch {event.epoch}, loss {event.loss:.3f}{recall}"
            progress((event.task - 1) * epochs + event.epoch, total, detail)
            continue
        if event["t2v"] is None:
            within = event["row"]["t2v/stored/task"][-1]["R@1"]
            figures = f"{within:.2f} within the task"
        else:
            now, before = event["t2v"]["R@1"], event["zero_shot"]["t2v"]["R@1"]
            figures = f"{now:.2f} over {event['clips']} clips, zero-shot {before:.2f}"
            recall = f", R@1 {now:.2f} after task {event['stage']}"
        log(f"task {event['stage']}: R@1 {figures} ({event['seconds']:.1f} s)")
        if len(losses) > 1 and losses[0] > NEGLIGIBLE and losses[-1] > STALLED * losses[0]:
            log(
                f"task {event['stage']}: the loss went from {losses[0]:.4f} to {losses[-1]:.4f}: "
                "hardly anything was learnt; try higher lr_text, lr_vision and lr_other"
            )
        losses = []

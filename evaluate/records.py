"""Stage records: which a run still lacks, and measuring stages again from its folder."""

from collections.abc import Iterator

from ..core.errors import StructAlignError
from ..train.gallery import ZERO_SHOT, Block, Gallery
from ..train.runs.run import Run
from .evaluator import Evaluator, Record


def measure_stages(run: Run) -> Iterator[Record]:
    """Every finished stage again, from the run's checkpoints and stored gallery."""
    evaluator, recorded = Evaluator(run.stream), run.stages()
    method, blocks = run.new_method(), run.gallery(run.finished).blocks
    for number in range(1, run.finished + 1):
        evaluator.arrive(method, zero_shot_block(run, number))
        run.load_task(number, method)
        was_whole = recorded.get(number, {}).get("t2v") is not None
        is_whole = was_whole or is_whole_stage(run, number, run.finished)
        yield evaluator.stage(method, Gallery(blocks[:number]), is_whole)


def missing_stages(run: Run, last: int) -> Iterator[Record]:
    """The stages that an interrupted training did not record, where its results need them.

    ``last``: the task to end with, which is measured whole.
    """
    recorded = run.stages()
    known = [n for n, stage in recorded.items() if stage["t2v"] is not None or n < last]
    if len(known) >= run.finished:
        return
    for stage in measure_stages(run):
        if stage["stage"] not in known:
            run.save_stage(stage)
            yield stage


def is_whole_stage(run: Run, task: int, last: int) -> bool:
    """Whether all tasks are measured after ``task``: every ``eval_every``, and at the end."""
    return task % run.settings.eval_every == 0 or task == last


def zero_shot_block(run: Run, number: int) -> Block:
    """The evaluated clips of a finished task, encoded by the pre-trained towers.

    Raises StructAlignError: they are missing or damaged.
    """
    block = run.block(number, ZERO_SHOT)
    if block is None:
        file = run.block_file(number, ZERO_SHOT)
        raise StructAlignError(f"{file} is missing; restore it, or train again")
    return block

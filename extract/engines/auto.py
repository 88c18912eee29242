"""The faster engine: begin in this process, continue through Ray if that pays for its start."""

import os
from collections.abc import Iterator

from ...backbones.family import Stem
from ...cache.catalog import Catalog, Clip
from ...core.console import Log
from ...core.ray_session import RayStartError
from ..worker import Batch, BatchOutcomes, Work, WorkerConfig
from .inline import inline_worker, run_inline
from .ray_data import run_ray

RAY_START = 12.0  # seconds that Ray adds before its first clip, by `make bench`
PART = 4  # clips between two decisions
MEASURED = 2.0  # seconds of work before the first decision, without the first part, which warms up


def run_auto(
    config: WorkerConfig, stem: Stem, catalog: Catalog, batches: list[Batch], log: Log
) -> Iterator[BatchOutcomes]:
    """Extract every batch in parts; yield each part's batch number and its clips' outcomes."""
    parts = [
        (number, clips[at : at + PART])
        for number, clips in batches
        for at in range(0, len(clips), PART)
    ]
    log("extracting in this process as long as that is faster than starting Ray")
    workers, left = os.cpu_count() or 1, sum(len(clips) for _, clips in parts)
    with inline_worker(config, stem, catalog) as worker:
        for count, (number, outcomes) in enumerate(worker.run(parts), 1):
            yield number, outcomes
            left -= len(outcomes)
            if count == 1:
                worker.work = Work()
            elif (saved := seconds_saved(worker.work, left, workers)) > 0:
                break
        else:
            return
    less = f"about {saved:.0f} s less for the {left} clips that are left"
    log(f"continuing through Ray, {workers} workers: {less}")
    rest: dict[int, list[Clip]] = {}
    for number, clips in parts[count:]:
        rest.setdefault(number, []).extend(clips)
    try:
        yield from run_ray(config, stem, list(rest.items()), None, None)
    except RayStartError as error:
        log(f"{error}; continuing in this process")
        yield from run_inline(config, stem, catalog, parts[count:])


def seconds_saved(work: Work, left: int, workers: int) -> float:
    """The seconds that Ray would save on ``left`` clips, its start included; 0 before MEASURED.

    Decoding and encoding overlap in this process, so the slower of them counts; a Ray worker has
    one core for both.
    """
    if work.decoding + work.encoding < MEASURED:
        return 0
    inline = max(work.decoding, work.encoding) / work.clips
    through_ray = (work.decoding + work.encoding) / work.clips / workers
    return left * (inline - through_ray) - RAY_START

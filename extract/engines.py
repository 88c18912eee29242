"""Two ways to run the same units: in this process, or streamed through Ray Data."""

import logging
from collections.abc import Iterator
from typing import Any

import torch

from cache.backbone import Backbone, Stem, load_backbone
from cache.catalog import Catalog, Clip
from cache.errors import StructAlignError
from cache.rows import RowTable
from cache.staging import ClipOutcome, StagedCache
from extract.ray_session import ray_session
from extract.stages import UnitRunner, Work

Unit = tuple[int, list[Clip]]
ATTEMPTS = 3  # how often a unit is tried whose worker died


def run_inline(work: Work, backbone: Backbone, catalog: Catalog, units: list[Unit]) -> Iterator[list[ClipOutcome]]:
    """Units one after another in this process, on one thread, as each Ray worker does: so the bytes are the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    runner = UnitRunner(work, Stem(backbone, work.cut), backbone.preprocessing, RowTable(catalog, work.views.count))
    try:
        for number, clips in units:
            yield runner.run(number, clips)
    finally:
        runner.close()
        torch.set_num_threads(threads)


class RayWorker:
    """A Ray Data actor: makes its runner once, then does one unit a row."""

    def __init__(self, work: Work) -> None:
        torch.set_num_threads(1)
        backbone = load_backbone(work.backbone, work.pretrained)
        catalog = Catalog.load(work.staging / "catalog.json")
        self.catalog = catalog
        self.runner = UnitRunner(work, Stem(backbone, work.cut), backbone.preprocessing, RowTable(catalog, work.views.count))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Do one unit."""
        self.runner.run(int(row["unit"]), [self.catalog[str(clip)] for clip in row["clips"]])
        return {"unit": row["unit"]}


def run_ray(work: Work, units: list[Unit], workers: int, address: str | None) -> Iterator[list[ClipOutcome]]:
    """Units through Ray Data; tokens go from the worker to the store and never through Ray.

    Raises:
        StructAlignError: no such cluster, or a unit that failed ``ATTEMPTS`` times.
    """
    with ray_session(address, workers):
        import ray.data as ray_data
        from ray.exceptions import RayError

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray_data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        rows = [{"unit": number, "clips": [clip.id for clip in clips]} for number, clips in units]
        stream = ray_data.from_items(rows, override_num_blocks=len(rows)).map(
            RayWorker,
            fn_constructor_args=[work],
            compute=ray_data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            num_gpus=1 / workers if work.device == "cuda" else 0,
            max_restarts=ATTEMPTS,
            max_task_retries=ATTEMPTS,
        )
        staged = StagedCache(work.staging)
        try:
            for row in stream.iter_rows():
                outcomes = staged.receipt(int(row["unit"]))
                if outcomes is None:
                    raise StructAlignError(f"unit {row['unit']} left no receipt under {work.staging}; is the cache root shared by all Ray nodes?")
                yield outcomes
        except RayError as error:
            raise StructAlignError(f"a Ray worker failed: {str(error).strip().splitlines()[-1]}; what is done is kept, run extract again") from error

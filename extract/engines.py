"""Two ways to run the same units: in this process, or streamed through Ray Data."""

import logging
import math
import platform
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from cache.backbone import Backbone, Stem
from cache.catalog import Catalog, Clip
from cache.cpu import prepare_cpu
from cache.errors import StructAlignError
from cache.halves import load_stem, save_stem
from cache.rows import RowTable
from cache.sharing import open_to_group
from cache.staging import StagedCache
from extract.ray_session import ray_session
from extract.stages import UnitRunner, Work

Unit = tuple[int, list[Clip]]
ATTEMPTS = 3  # how often a unit is tried whose worker died, and how often all is started again when that does not help
SHARING = 16  # workers of one GPU unless told otherwise: each takes some hundred MB of it for itself
GRAIN = 10_000  # Ray counts shares of a GPU in so many parts


def run_inline(work: Work, backbone: Backbone, catalog: Catalog, units: list[Unit]) -> Iterator[tuple[int, int]]:
    """Units one after another in this process, on one thread, as each Ray worker does: so the bytes are the same.

    Yields (unit, clips done).
    """
    prepare_cpu()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    runner = UnitRunner(work, Stem(backbone, work.cut), backbone.preprocessing, RowTable(catalog, work.views.count))
    try:
        for number, clips in units:
            runner.run(number, clips)
            yield number, len(clips)
    finally:
        runner.close()
        torch.set_num_threads(threads)


class RayWorker:
    """A Ray Data actor: makes its runner once, then does one unit a row."""

    def __init__(self, work: Work, stem: str) -> None:
        torch.set_num_threads(1)
        prepare_cpu()
        open_to_group(work.staging)
        if (decoder := f"decord2 {version('decord2')}") != work.decoder:
            raise StructAlignError(f"{platform.node()} has {decoder}, this cache is made with {work.decoder}; install the same on all Ray nodes")
        backbone = load_stem(work.staging, stem)
        catalog = Catalog.load(work.staging / "catalog.json")
        self.catalog = catalog
        self.runner = UnitRunner(work, Stem(backbone, work.cut), backbone.preprocessing, RowTable(catalog, work.views.count))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Do one unit."""
        self.runner.run(int(row["unit"]), [self.catalog[str(clip)] for clip in row["clips"]])
        return {"unit": row["unit"], "clips": len(row["clips"])}


def run_ray(work: Work, backbone: Backbone, units: list[Unit], workers: int | None, address: str | None) -> Iterator[tuple[int, int]]:
    """Units through Ray Data; tokens go from the worker to the store and never through Ray. Yields (unit, clips done).

    The stem travels to the workers through the staging folder: no node needs the weights, or a download, of its own. When workers or
    whole nodes are lost, what is left is started again; a unit that was nearly done is done twice, with the same bytes.

    Raises:
        StructAlignError: no such cluster, no GPU in it, an error in a worker, or workers lost ``ATTEMPTS`` times.
    """
    stem = save_stem(backbone, work.cut, work.staging)
    with ray_session(address, workers) as ray:
        from ray.exceptions import RayError, RayTaskError

        pool = worker_pool(work.device, workers, len(units), ray.cluster_resources())
        left = dict(units)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for number, count in _stream(work, stem, left, pool):
                    del left[number]
                    yield number, count
                return
            except RayTaskError as error:
                raise StructAlignError(f"a Ray worker failed: {_reason(error)}; what is done is kept, run extract again") from error
            except RayError as error:
                if attempt == ATTEMPTS:
                    raise StructAlignError(f"Ray lost workers {ATTEMPTS} times: {_reason(error)}; what is done is kept, run again") from error


@dataclass(frozen=True)
class WorkerPool:
    """How many workers, and the share of a GPU that each is promised."""

    workers: int
    gpus: float


def worker_pool(device: str, workers: int | None, units: int, resources: Mapping[str, float]) -> WorkerPool:
    """A worker for every core of the machine or cluster unless told otherwise, never more than there are units.

    Decoding keeps a core busy far longer than the stem keeps a GPU, so on GPUs the workers spread over them and share them.
    """
    count = min(workers or max(1, int(resources.get("CPU", 1))), units)
    if device != "cuda":
        return WorkerPool(count, 0)
    gpus = int(resources.get("GPU", 0))
    if not gpus:
        raise StructAlignError("--device cuda: no node of this Ray cluster has a GPU; use --device cpu")
    count = count if workers else min(count, SHARING * gpus)
    return WorkerPool(count, math.floor(GRAIN / math.ceil(count / gpus)) / GRAIN)


def _stream(work: Work, stem: str, units: dict[int, list[Clip]], pool: WorkerPool) -> Iterator[tuple[int, int]]:
    import ray.data as ray_data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors come as exceptions
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    rows = [{"unit": number, "clips": [clip.id for clip in clips]} for number, clips in units.items()]
    with warnings.catch_warnings():
        # Ray will take these two away in 2.64 and has no other bound on restarts yet; pyproject.toml stays below
        warnings.filterwarnings("ignore", message=".*ray_remote_args", category=DeprecationWarning)
        stream = ray_data.from_items(rows, override_num_blocks=len(rows)).map(
            RayWorker,
            fn_constructor_args=[work, stem],
            compute=ray_data.ActorPoolStrategy(size=min(pool.workers, len(rows)), max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            num_gpus=pool.gpus,
            max_restarts=ATTEMPTS,
            max_task_retries=ATTEMPTS,
        )
    staged = StagedCache(work.staging)
    for row in stream.iter_rows():
        if staged.receipt(int(row["unit"])) is None:
            raise StructAlignError(f"unit {row['unit']} left no receipt under {work.staging}; is the cache root shared by all Ray nodes?")
        yield int(row["unit"]), int(row["clips"])


def _reason(error: Exception) -> str:
    """What our own code said, which Ray hands on as text amid its own; else the last error that it names."""
    text = str(error).strip()
    named = re.findall(r"^cache\.errors\.StructAlignError: (.+)$", text, re.MULTILINE) or re.findall(r"^\S*Error: .+$", text, re.MULTILINE)
    return str((named or text.splitlines())[-1])

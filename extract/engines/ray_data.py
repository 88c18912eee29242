"""Batches streamed through Ray Data, with one worker per core of a machine or a cluster."""

import logging
import math
import pickle
import platform
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...backbones.family import Stem
from ...backbones.stem import load_stem, save_stem
from ...cache.catalog import Clip
from ...cache.catalog_file import read_catalog
from ...cache.tokens import ViewTable
from ...core.device import prepare_cpu
from ...core.errors import StructAlignError
from ...core.permissions import open_to_group
from ...core.ray_session import ray_session
from ..video.decoder_version import decoder_version
from ..worker import Batch, BatchOutcomes, ClipWorker, WorkerConfig

ATTEMPTS = 3  # of a batch whose worker died, and of Ray Data when these do not help
GPU_WORKERS = 16  # workers that share a GPU by default: each takes some hundred MB of it
GPU_PARTS = 10_000  # the resolution of Ray's shares of a GPU


class RayWorker:
    """A Ray Data actor: makes its worker once, then extracts one batch per row."""

    def __init__(self, config: WorkerConfig, weights: str) -> None:
        torch.set_num_threads(1)
        prepare_cpu()
        if not config.folder.is_dir():
            raise StructAlignError(
                f"{platform.node()} does not see {config.folder}; all Ray nodes must share the "
                "cache root"
            )
        open_to_group(config.folder)
        if (decoder := decoder_version()) != config.spec.decoder:
            raise StructAlignError(
                f"{platform.node()} has {decoder}, this cache is made with {config.spec.decoder}; "
                "install the same versions on all Ray nodes"
            )
        self.catalog = read_catalog(config.folder)
        table = ViewTable(self.catalog, config.spec.views)
        self.worker = ClipWorker(config, load_stem(config.folder, weights), table)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Extract one batch and return its outcomes, pickled: Arrow would change their types."""
        clips = [self.catalog[str(clip)] for clip in row["clips"]]
        [(number, outcomes)] = self.worker.run([(int(row["batch"]), clips)])
        return {"batch": number, "outcomes": pickle.dumps(outcomes)}


def run_ray(
    config: WorkerConfig, stem: Stem, batches: list[Batch], workers: int | None, address: str | None
) -> Iterator[BatchOutcomes]:
    """Extract batches through Ray Data; yield each one's number and its clips' outcomes.

    Workers write tokens to the cache themselves and read the stem from the cache's folder, so no
    node needs the weights, or a download. When workers or whole nodes are lost, the rest starts
    again; a batch that is extracted twice has the same bytes. Raises StructAlignError: no such
    cluster, no GPU in it, an error in a worker, or workers lost ``ATTEMPTS`` times.
    """
    weights = save_stem(stem, config.folder)
    with ray_session(address, workers) as ray:
        from ray.exceptions import RayError, RayTaskError

        pool = worker_pool(config.device, workers, len(batches), ray.cluster_resources())
        left = dict(batches)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for number, outcomes in _stream(config, weights, left, pool):
                    del left[number]
                    yield number, outcomes
                return
            except RayTaskError as error:
                raise StructAlignError(
                    f"a Ray worker failed: {_reason(error)}; finished batches are kept, run "
                    "extract again"
                ) from error
            except RayError as error:
                if attempt == ATTEMPTS:
                    raise StructAlignError(
                        f"Ray lost workers {ATTEMPTS} times: {_reason(error)}; "
                        "finished batches are kept, run extract again"
                    ) from error


@dataclass(frozen=True)
class WorkerPool:
    """The number of workers, and the share of a GPU that each gets."""

    workers: int
    gpus: float


def worker_pool(
    device: str, workers: int | None, batches: int, resources: Mapping[str, float]
) -> WorkerPool:
    """Size the pool: by default one worker per core, at most one per batch.

    Decoding keeps a core busy far longer than the stem keeps a GPU busy, so workers share GPUs.
    Raises StructAlignError for cuda without a GPU.
    """
    count = min(workers or max(1, int(resources.get("CPU", 1))), batches)
    if device != "cuda":
        return WorkerPool(count, 0)
    gpus = int(resources.get("GPU", 0))
    if not gpus:
        raise StructAlignError(
            "--device cuda: no node of this Ray cluster has a GPU; use --device cpu"
        )
    count = count if workers else min(count, GPU_WORKERS * gpus)
    return WorkerPool(count, math.floor(GPU_PARTS / math.ceil(count / gpus)) / GPU_PARTS)


def _stream(
    config: WorkerConfig, weights: str, batches: dict[int, list[Clip]], pool: WorkerPool
) -> Iterator[BatchOutcomes]:
    import ray.data as ray_data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors come as exceptions
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    rows = [{"batch": n, "clips": [clip.id for clip in clips]} for n, clips in batches.items()]
    size = min(pool.workers, len(rows))
    with warnings.catch_warnings():
        # Ray will drop the two restart bounds in 2.64 and has no others yet; see pyproject.toml.
        warnings.filterwarnings("ignore", message=".*ray_remote_args", category=DeprecationWarning)
        stream = ray_data.from_items(rows, override_num_blocks=len(rows)).map(
            RayWorker, fn_constructor_args=[config, weights], num_cpus=1, num_gpus=pool.gpus,
            compute=ray_data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
            max_restarts=ATTEMPTS, max_task_retries=ATTEMPTS,
        )  # fmt: skip
    for row in stream.iter_rows():
        yield int(row["batch"]), pickle.loads(row["outcomes"])


def _reason(error: Exception) -> str:
    """The last StructAlignError in Ray's text, else the last error in it."""
    text = str(error).strip()
    expected = re.findall(r"^structalign\.\S+\.StructAlignError: (.+)$", text, re.MULTILINE)
    named = expected or re.findall(r"^\S*Error: .+$", text, re.MULTILINE)
    return str((named or text.splitlines())[-1])

"""Batches one after another in this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...backbones.family import Stem
from ...cache.catalog import Catalog
from ...cache.tokens import ViewTable
from ...core.device import prepare_cpu
from ..worker import Batch, BatchOutcomes, ClipWorker, WorkerConfig


def run_inline(
    config: WorkerConfig, stem: Stem, catalog: Catalog, batches: list[Batch]
) -> Iterator[BatchOutcomes]:
    """Extract every batch; yield its number and its clips' outcomes."""
    with inline_worker(config, stem, catalog) as worker:
        yield from worker.run(batches)


@contextmanager
def inline_worker(config: WorkerConfig, stem: Stem, catalog: Catalog) -> Iterator[ClipWorker]:
    """A worker on one thread of this process, whose tokens equal a Ray worker's bit for bit."""
    prepare_cpu()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    worker = ClipWorker(config, stem, ViewTable(catalog, config.spec.views))
    try:
        yield worker
    finally:
        worker.close()
        torch.set_num_threads(threads)

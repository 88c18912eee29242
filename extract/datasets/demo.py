"""The demo world as a dataset: generated into the cache root when it is not there yet."""

from pathlib import Path

from extract.datasets.source import Source
from extract.demo_world.files import generate


def read_demo(cache_root: Path, seed: int) -> Source:
    """The demo world of ``seed``; about half a minute the first time."""
    folder = cache_root / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return Source(generate(folder, seed), folder)

"""Dataset readers: each yields a catalog and where the videos are."""

from pathlib import Path

from cache.errors import StructAlignError, unknown
from extract.datasets.source import Source

DATASETS = ("demo", "manifest")


def read_dataset(name: str, root: Path | None, cache_root: Path, seed: int) -> Source:
    """The dataset called ``name``.

    Raises:
        StructAlignError: an unknown name, a missing root, or whatever is wrong with the files.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    if name == "demo":
        from extract.datasets.demo import read_demo

        return read_demo(cache_root, seed)
    if root is None:
        raise StructAlignError(f"dataset '{name}' needs --root, the folder that holds its videos")
    if not root.exists():
        raise StructAlignError(f"--root {root} does not exist")
    from extract.datasets.manifest import read_manifest

    return read_manifest(root)

"""Dataset readers: each yields a catalog and where the videos are."""

from pathlib import Path

from cache.errors import StructAlignError, unknown
from extract.datasets.source import Source

DATASETS = ("demo", "msrvtt", "actnet", "manifest")


def read_dataset(name: str, root: Path | None, splits: Path | None, cache_root: Path, seed: int) -> Source:
    """The dataset called ``name``; ``splits`` is a second folder in which annotation files are looked for.

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
    for option, folder in (("--root", root), ("--splits", splits)):
        if folder is not None and not folder.exists():
            raise StructAlignError(f"{option} {folder} does not exist")
    more = [splits] if splits else []
    if name == "msrvtt":
        from extract.datasets.msrvtt import read_msrvtt

        return read_msrvtt(root, more)
    if name == "actnet":
        from extract.datasets.actnet import read_actnet

        return read_actnet(root, more)
    from extract.datasets.manifest import read_manifest

    return read_manifest(root)

"""Datasets by name: each reader gives a catalog and where the videos are."""

from pathlib import Path

from ...core.errors import StructAlignError, unknown
from .dataset import Dataset

DATASETS = ("demo", "msrvtt", "actnet", "manifest")


def read_dataset(
    name: str,
    root: Path | None,
    splits: Path | None,
    cache_root: Path,
    seed: int,
    own_name: str | None = None,
    conflict: float = 0.0,
) -> Dataset:
    """The dataset called ``name``; annotation files are looked for in ``splits`` too.

    A manifest's is called ``own_name``, or as its folder; ``conflict`` is the demo world's dial.

    Raises:
        StructAlignError: an unknown name, a missing root, or whatever is wrong with the files.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    if own_name and name != "manifest":
        raise StructAlignError(f"--name is for manifests; this dataset is called '{name}'")
    if conflict and name != "demo":
        raise StructAlignError("--conflict is the demo world's; other datasets are as they are")
    if not 0 <= conflict <= 1:
        raise StructAlignError(f"--conflict {conflict:g} is a share of the words, from 0 to 1")
    if name == "demo":
        from .demo.files import generate

        folder = cache_root / "datasets"
        folder.mkdir(parents=True, exist_ok=True)
        return Dataset(generate(folder, seed, conflict=conflict), folder)
    if root is None:
        raise StructAlignError(f"dataset '{name}' needs --root, the folder that holds its videos")
    for option, folder_given in (("--root", root), ("--splits", splits)):
        if folder_given is not None and not folder_given.exists():
            raise StructAlignError(f"{option} {folder_given} does not exist")
    if name == "manifest":
        from .manifest import read_manifest

        return read_manifest(root, splits, own_name)
    if name == "msrvtt":
        from .msrvtt import read_msrvtt as read
    else:
        from .actnet import read_actnet as read
    return read(root, [splits] if splits else [])

"""Warnings about a dataset: leaks from train to test, and what limits the metrics."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from ...cache.catalog import Catalog, Clip, shared_captions
from ...core.errors import StructAlignError
from ...core.hashing import MISSING


def refuse_overlap(catalog: Catalog, sources: Mapping[str, str]) -> None:
    """Raise StructAlignError where train and test share a part of a video.

    ``sources``: sha256 of every file by its path, which finds copies under other names.
    """
    by_content = defaultdict(list)
    for clip in catalog:
        if sources[clip.path] != MISSING:
            by_content[sources[clip.path]].append(clip)
    pairs = [
        (train, test)
        for clips in by_content.values()
        for train in clips
        for test in clips
        if train.split == "train" and test.split == "test" and _overlap(train, test)
    ]
    if pairs:
        train, test = pairs[0]
        raise StructAlignError(
            f"train and test share parts of videos in {len(pairs)} pairs of clips (test clip "
            f"'{test.id}' of {test.path} and training clip '{train.id}' of {train.path}); remove "
            "one of each, or give --allow-overlap"
        )


def dataset_warnings(catalog: Catalog) -> Iterator[str]:
    """One line for everything that makes the metrics of this dataset doubtful."""
    categories: dict[str, set[str]] = defaultdict(set)
    for clip in catalog:
        categories[clip.split].add(clip.category)
    if not categories["test"]:
        yield (
            "there are no test clips: a run trains on all clips and its metrics are those of "
            "training clips"
        )
        return
    for split, other in (("test", "train"), ("train", "test")):
        if lacking := sorted(categories[other] - categories[split]):
            kind = "test" if split == "test" else "training"
            listing = ", ".join(lacking[:5]) + ", ..." * (len(lacking) > 5)
            yield (
                f"{len(lacking)} of {len(catalog.categories)} categories have no {kind} clip: "
                f"{listing}; train needs both"
            )
    if warning := shared_captions([clip for clip in catalog if clip.split == "test"]):
        yield warning


def _overlap(a: Clip, b: Clip) -> bool:
    ends = (a.end or float("inf"), b.end or float("inf"))
    return (a.start or 0) < ends[1] and (b.start or 0) < ends[0]

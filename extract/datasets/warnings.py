"""What makes a dataset's figures doubtful: leaks from train to test, captions of several clips."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from ...cache.catalog import Catalog, Clip, shared_captions
from ...core.errors import StructAlignError
from ...core.hashing import MISSING


def refuse_overlap(catalog: Catalog, sources: Mapping[str, str]) -> None:
    """Raise StructAlignError where a part of a video is learnt and tested on.

    Args:
        catalog: the clips.
        sources: hash of every file by its path: copies under another name count too.
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
            f"{len(pairs)} test clips show what is trained on (test clip '{test.id}' of "
            f"{test.path} and training clip '{train.id}' of {train.path}); take one out, or give "
            "--allow-overlap"
        )


def dataset_warnings(catalog: Catalog) -> Iterator[str]:
    """A line for each thing that a person should know before believing a figure."""
    sides: dict[str, set[str]] = defaultdict(set)
    for clip in catalog:
        sides[clip.split].add(clip.category)
    if not any(clip.split == "test" for clip in catalog):
        yield (
            "no clip is for testing: all are learnt and searched, and figures of a run on them are "
            "over what it has learnt"
        )
        return
    for split, other in (("test", "train"), ("train", "test")):
        if lacking := sorted(sides[other] - sides[split]):
            kind = "test" if split == "test" else "training"
            listing = ", ".join(lacking[:5]) + ", ..." * (len(lacking) > 5)
            yield (
                f"{len(lacking)} of {len(catalog.categories)} categories have no {kind} clip: "
                f"{listing}; train needs both"
            )
    if told := shared_captions([clip for clip in catalog if clip.split == "test"]):
        yield told


def _overlap(one: Clip, other: Clip) -> bool:
    ends = (one.end or float("inf"), other.end or float("inf"))
    return (one.start or 0) < ends[1] and (other.start or 0) < ends[0]

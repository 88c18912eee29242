"""A catalog is refused when anything in it could go wrong later."""

from dataclasses import replace
from typing import Any

import pytest
from structalign.cache import Catalog, Clip, StructAlignError

CLIP = Clip("a", "a.mp4", "music", "train", ("a song",))
OTHER = Clip("b", "a.mp4", "sports", "test", ("a goal",), 1.0, 2.5, {"twin": "a"})


def catalog(*clips: Clip) -> Catalog:
    return Catalog("test", ("music", "sports"), clips)


def of_another_kind(name: str, value: Any) -> dict[str, Any]:
    """A field as a file may hold it, against its type."""
    return {name: value}


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (replace(CLIP, captions=()), "has no caption"),
        (replace(CLIP, captions=("fine", "  ")), "clip 'a' has an empty caption"),
        (replace(CLIP, category="news"), "not in the dataset's category order"),
        (replace(CLIP, **of_another_kind("split", "val")), "must be train or test"),
        (replace(CLIP, id="../a"), "no part . or .."),
        (replace(CLIP, id="a" * 1001), "at most 1000 characters"),
        (replace(CLIP, id=""), "without blanks at its ends"),
        (replace(CLIP, id=" a"), "without blanks at its ends"),
        (replace(CLIP, id="a\x1b[1m"), "cannot be seen"),
        (replace(CLIP, id="a\u202eb"), "cannot be seen"),
        (replace(CLIP, id="u\u0308"), "composed form"),
        (replace(CLIP, start=float("nan")), "must be seconds"),
        (replace(CLIP, start=3.0, end=3.0), "not after its start"),
        (replace(CLIP, **of_another_kind("extra", {"take": 2})), "must map texts to texts"),
    ],
)
def test_refused(clip: Clip, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        catalog(clip)


@pytest.mark.parametrize(
    "name", ["-mv89psg6zh4_33_46", "a film/part 1", "Brücke", "漢字", "5% <b>?"]
)
def test_ids_of_data_sets(name: str) -> None:
    assert catalog(replace(CLIP, id=name)).ids == [name]


def test_empty_and_doubled() -> None:
    with pytest.raises(StructAlignError, match="has no clips"):
        catalog()
    with pytest.raises(StructAlignError, match="two clips are called 'a'"):
        catalog(CLIP, replace(CLIP, captions=("other",)))


def test_hash() -> None:
    """Version 0.3 hashed the first literally, with a field ``twin`` of its own."""
    one = catalog(CLIP, OTHER)
    assert one.hash() == "d122422462c27edbd0782aa5d88f9c0a225f07d8a7a736551a14032e8bb6c2aa"
    more = [replace(OTHER, extra=extra) for extra in ({}, {"twin": "b"}, {"take": "a"})]
    more.append(replace(OTHER, extra={"twin": "a", "take": "a"}))
    assert len({catalog(CLIP, other).hash() for other in (OTHER, *more)}) == 5
    assert catalog(*reversed(one.clips)).hash() == one.hash()
    assert catalog(replace(CLIP, path="elsewhere.mp4"), OTHER).hash() == one.hash()
    assert catalog(replace(CLIP, captions=("another",)), OTHER).hash() != one.hash()

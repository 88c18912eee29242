"""Catalogs with everything that a catalog may hold, to draw from."""

from hypothesis import strategies as st
from structalign.cache import Catalog, Clip

CATEGORIES = ("music", "news & views", "sports")
TEXT = st.text(min_size=1).filter(lambda text: text.strip())
CLIP = st.builds(
    Clip,
    id=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.@=+-]{0,20}", fullmatch=True),
    path=st.from_regex(r"[a-z]{1,5}/[a-z]{1,5}\.mp4", fullmatch=True),
    category=st.sampled_from(CATEGORIES),
    split=st.sampled_from(["train", "test"]),
    captions=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    start=st.none() | st.floats(0, 10),
    end=st.none() | st.floats(11, 1e9),
    extra=st.dictionaries(st.sampled_from(["twin", "camera"]), TEXT, max_size=2),
)
CATALOGS = st.lists(CLIP, min_size=1, max_size=40, unique_by=lambda clip: clip.id).map(
    lambda clips: Catalog("test", CATEGORIES, clips)
)


def assert_same(one: Catalog, other: Catalog) -> None:
    """Both have the same clips in the same order."""
    assert (one.dataset, one.categories, list(one)) == (
        other.dataset,
        other.categories,
        list(other),
    )

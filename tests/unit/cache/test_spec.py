"""Every field of the specification changes the fingerprint.

Another schema is refused with both versions.
"""

from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structalign.cache import CacheSpec, StructAlignError
from structalign.cache.spec import hash_sources

SPEC = CacheSpec(
    "demo", "s", "c", "demo", "w", 2, 4, 2, 0, 0.8, False, {"size": 48, "mean": [0.1]}, "decord2 3"
)


@given(st.sampled_from([field.name for field in fields(CacheSpec)]), st.integers(), st.text())
def test_any_field_changes_it(name: str, number: int, text: str) -> None:
    old = getattr(SPEC, name)
    new: Any = (
        {**old, "x": number}
        if isinstance(old, dict)
        else text
        if isinstance(old, str)
        else not old
        if isinstance(old, bool)
        else number
    )
    same = new == old and type(new) is type(old)
    assert (replace(SPEC, **{name: new}).fingerprint() == SPEC.fingerprint()) == same


@given(st.permutations(list(asdict(SPEC).items())))
def test_order_does_not_matter(items: list[tuple[str, Any]]) -> None:
    assert CacheSpec.from_json(dict(items)).fingerprint() == SPEC.fingerprint()


def test_other_schema() -> None:
    with pytest.raises(StructAlignError, match="has schema 99, this version reads schema 3"):
        CacheSpec.from_json({**asdict(SPEC), "schema": 99})
    with pytest.raises(StructAlignError, match="fields differ in"):
        CacheSpec.from_json({**asdict(SPEC), "more": 1})


def test_sources_are_sorted() -> None:
    rows = [("b", "2", None, None), ("a", "1", 0.5, 1.0)]
    assert hash_sources(rows) == hash_sources(reversed(rows))
    assert hash_sources(rows) != hash_sources([rows[0], ("a", "1", 0.5, 1.5)])

"""Whatever determines tokens changes the fingerprint; the order in which it is written does not."""

import json
import random
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structalign.cache import StructAlignError
from structalign.cache.checksums import DamagedError
from structalign.cache.spec import SAMPLINGS, Augmentation, CacheSpec, hash_sources

TEXT = st.text(min_size=1, max_size=12)
SPECS = st.builds(
    CacheSpec,
    dataset=TEXT, sources=TEXT, catalog=TEXT, backbone=TEXT, weights=TEXT, cut=st.integers(0, 24),
    frames=st.integers(1, 64),
    views=st.integers(1, 8), view_seed=st.integers(0, 2**31), view_scale=st.floats(0.1, 1),
    view_flip=st.booleans(),
    preprocessing=st.fixed_dictionaries({"size": st.integers(1, 512), "mean": st.lists(st.floats(0,
    1), min_size=3, max_size=3)}),
    decoder=TEXT, sampling=st.sampled_from(list(SAMPLINGS.values())),
    compute_dtype=TEXT, token_dtype=st.just("float16"),
)  # fmt: skip


@given(SPECS, SPECS)
def test_any_field_changed_changes_it(spec: CacheSpec, other: CacheSpec) -> None:
    for field in fields(spec):
        changed = replace(spec, **{field.name: getattr(other, field.name)})
        same = json.dumps(asdict(changed), sort_keys=True) == json.dumps(
            asdict(spec), sort_keys=True
        )
        assert (changed.fingerprint() == spec.fingerprint()) == same, field.name


@given(SPECS, st.randoms())
def test_order_does_not_matter(spec: CacheSpec, rng: random.Random) -> None:
    items = list(asdict(spec).items())
    rng.shuffle(items)
    assert CacheSpec.from_json(dict(items)).fingerprint() == spec.fingerprint()


@given(
    st.lists(
        st.tuples(TEXT, TEXT, st.none() | st.floats(0, 9), st.none() | st.floats(10, 99)),
        unique_by=lambda row: row[0],
        min_size=1,
    ),
    st.randoms(),
)
def test_sources_are_a_set_of_clips(
    rows: list[tuple[str, str, float | None, float | None]], rng: random.Random
) -> None:
    shuffled = rows[:]
    rng.shuffle(shuffled)
    assert hash_sources(shuffled) == hash_sources(rows)
    clip, digest, start, end = rows[0]
    for changed in (
        (clip + "x", digest, start, end),
        (clip, digest + "x", start, end),
        (clip, digest, 9.5, end),
        (clip, digest, start, 99.5),
    ):
        assert hash_sources([changed, *rows[1:]]) != hash_sources(rows)


SPEC = CacheSpec(
    "demo", "s", "c", "demo", "w", 2, 4, 2, 0, 0.8, False, {"size": 48, "mean": [0.1]}, "decord2 3"
)


def test_the_fingerprint_of_version_0_3() -> None:
    assert SPEC.fingerprint() == "616f76ff2aedcfaa4a9e474f0130934bcb499a5189d04736311f05e932d869ab"
    assert SPEC.augmentation == Augmentation(views=2, seed=0, scale=0.8, flip=False)


@pytest.mark.parametrize("schema", [1, 2, 99, None])
def test_other_schemas_are_refused(schema: int | None) -> None:
    said = f"has schema {schema}, this version reads schema 3; extract again"
    with pytest.raises(StructAlignError, match=said):
        CacheSpec.from_json({**asdict(SPEC), "schema": schema})


def test_another_sampling_is_refused() -> None:
    assert CacheSpec.from_json({**asdict(SPEC), "sampling": SAMPLINGS["time"]}).by_time
    assert not SPEC.by_time
    said = "sampling is 'by luck', not interval-midpoints or interval-midpoints in time"
    with pytest.raises(DamagedError, match=said):
        CacheSpec.from_json({**asdict(SPEC), "sampling": "by luck"})


def test_other_fields_are_refused() -> None:
    with pytest.raises(StructAlignError, match="fields differ in"):
        CacheSpec.from_json({**asdict(SPEC), "more": 1})

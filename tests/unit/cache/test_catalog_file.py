"""A catalog's file gives the same catalog, as columns too, and refuses what it cannot be.

So does the JSON of bundles.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers.catalogs import CATALOGS, CATEGORIES, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from structalign.cache import Catalog, Clip, StructAlignError
from structalign.cache.catalog_file import (
    SCHEMA,
    SCHEMA_0_3,
    catalog_json,
    parse_catalog,
    parse_catalog_json,
    write_catalog,
)
from structalign.cache.layout import CATALOG as FILE

WHERE = Path("a-cache")


def arrow(catalog: Catalog, folder: Path) -> bytes:
    write_catalog(folder, catalog)
    return (folder / FILE).read_bytes()


@settings(deadline=None, max_examples=30)
@given(catalog=CATALOGS)
def test_round_trip(catalog: Catalog, tmp_path_factory: Any) -> None:
    body = arrow(catalog, tmp_path_factory.mktemp("catalog"))
    assert_same(parse_catalog(body, WHERE, 100), catalog)


@settings(deadline=None, max_examples=30)
@given(catalog=CATALOGS, chosen=st.permutations(CATEGORIES), count=st.integers(1, 3))
def test_columns_answer_as_clips_do(
    catalog: Catalog, chosen: tuple[str, ...], count: int, tmp_path_factory: Any
) -> None:
    body = arrow(catalog, tmp_path_factory.mktemp("catalog"))
    columns = parse_catalog(body, WHERE, 0)
    assert not isinstance(columns.clips, tuple)
    assert_same(columns, catalog)
    names = tuple(chosen[:count])
    for split in ("train", "test"):
        assert columns.select(split, names) == catalog.select(split, names)
        assert columns.count(split) == catalog.count(split)
    assert [columns[name] for name in columns.ids] == list(catalog.clips)
    assert [columns.index(clip.id) for clip in catalog] == list(range(len(catalog)))
    assert "no such clip" not in columns and columns.captions == catalog.captions
    assert columns.clips[-1] == catalog.clips[-1] and columns.clips[1:] == [*catalog.clips[1:]]
    assert columns.hash() == catalog.hash()


@pytest.mark.parametrize("large", [0, 100])
def test_the_column_twin_of_version_0_3(large: int) -> None:
    clips = [
        Clip("a", "a.mp4", "music", "test", ("x",), extra={"twin": "b"}),
        Clip("b", "b.mp4", "music", "test", ("y",)),
    ]
    about = {"dataset": "test", "categories": '["music"]'}
    schema, sink = SCHEMA_0_3.with_metadata(about), pa.BufferOutputStream()
    rows = [{**asdict(clip), "twin": clip.extra.get("twin")} for clip in clips]
    with pa.ipc.new_file(sink, schema) as file:
        file.write_batch(pa.RecordBatch.from_pylist(rows, schema))
    assert list(parse_catalog(sink.getvalue().to_pybytes(), WHERE, large)) == clips


def test_columns_over_several_record_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("structalign.cache.catalog_file.ROWS", 3)
    clips = [Clip(f"c{n}", "a.mp4", CATEGORIES[n % 3], "train", ("a", "b")) for n in range(10)]
    catalog = Catalog("test", CATEGORIES, clips)
    columns = parse_catalog(arrow(catalog, tmp_path), WHERE, 0)
    assert_same(columns, catalog)
    assert [columns[clip.id] for clip in clips] == clips
    assert columns.select("train", CATEGORIES) == catalog.select("train", CATEGORIES)


@contextmanager
def refused(why: str) -> Iterator[None]:
    with pytest.raises(StructAlignError, match=rf"a-cache/\S+ is not a catalog: .*{why}"):
        yield


@pytest.mark.parametrize("large", [0, 100])
def test_refused(large: int) -> None:
    one = Clip("a", "a.mp4", "music", "train", ("a song",))

    def parse(rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA, **about: str) -> Catalog:
        sink = pa.BufferOutputStream()
        told = {"dataset": "test", "categories": '["music"]', **about}
        with pa.ipc.new_file(sink, schema.with_metadata(told)) as file:
            for row in rows:
                file.write_batch(pa.RecordBatch.from_pylist([row], schema))
        return parse_catalog(sink.getvalue().to_pybytes(), WHERE, large)

    row = {**asdict(one), "extra": None}
    assert list(parse([row])) == [one]
    with refused("other columns"):
        parse([row], pa.schema([*SCHEMA, pa.field("more", pa.string())]))
    with refused("JSON|Expecting"):
        parse([row], categories="[")
    with refused("not a list of texts"):
        parse([row], categories="[1]")
    for wrong in (
        {"id": None}, {"path": None}, {"captions": None}, {"captions": ["a", None]},
    ):  # fmt: skip
        with refused("empty cells"):
            parse([{**row, **wrong}])
    with pytest.raises(StructAlignError, match="has no clips"):
        parse([])
    with pytest.raises(StructAlignError, match="unfit for a file name"):
        parse([row], dataset="../up")
    with pytest.raises(StructAlignError, match="must be relative"):
        list(parse([{**row, "path": "../../secret"}]))
    for extra in ("[", "[1]", '{"take": 2}'):
        with pytest.raises(StructAlignError, match=r"clip 'a' in catalog\.arrow: "):
            list(parse([{**row, "extra": extra}]))
    with pytest.raises(StructAlignError, match="two clips are called 'a'"):
        parse([row, row]).index("a")


def test_damaged_bytes(tmp_path: Path) -> None:
    body = arrow(
        Catalog("test", ("music",), [Clip("a", "a.mp4", "music", "train", ("x",))]), tmp_path
    )
    for wrong in (b"", b"{}", body[:100], body[:-20], b"\0" * 500):
        with refused(""):
            parse_catalog(wrong, WHERE, 100)
    for place in range(0, len(body), 7):  # never more than an error
        changed = body[:place] + bytes([body[place] ^ 0x40]) + body[place + 1 :]
        try:
            parse_catalog(changed, WHERE, 100)
        except StructAlignError as error:
            assert "\n" not in str(error)


ONE = catalog_json(Catalog("test", ("music",), [Clip("a", "a.mp4", "music", "train", ("x",))]))


@settings(deadline=None, max_examples=30)
@given(catalog=CATALOGS)
def test_json_round_trip(catalog: Catalog) -> None:
    assert_same(parse_catalog_json(catalog_json(catalog), "a-bundle"), catalog)


def test_json_with_the_field_twin_of_version_0_3() -> None:
    body = json.loads(ONE)
    del body["clips"][0]["extra"]
    body["clips"][0]["twin"] = "b"
    catalog = parse_catalog_json(json.dumps(body).encode(), "a-bundle")
    assert catalog["a"].extra == {"twin": "b"}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", ONE[:50], b"[" * 9999])
def test_damaged_json(body: bytes) -> None:
    with pytest.raises(StructAlignError, match=r"^a-bundle/catalog\.json is not a catalog: "):
        parse_catalog_json(body, "a-bundle")


@pytest.mark.parametrize(
    ("name", "value"),
    [("captions", "x"), ("captions", [1]), ("more", 1), ("twin", 1), ("extra", {"take": 2})],
)
def test_a_clip_of_other_types_in_json(name: str, value: object) -> None:
    body = json.loads(ONE)
    body["clips"][0][name] = value
    with pytest.raises(StructAlignError, match="is not a catalog"):
        parse_catalog_json(json.dumps(body).encode(), "a-bundle")

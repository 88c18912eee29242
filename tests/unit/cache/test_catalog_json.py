"""A catalog in a bundle gives the same catalog, and refuses what is not one."""

import json

import pytest
from helpers.catalogs import CATALOGS, assert_same
from hypothesis import given, settings
from structalign.cache import Catalog, Clip, StructAlignError
from structalign.cache.catalog_json import catalog_json, parse_catalog_json

ONE = catalog_json(Catalog("test", ("music",), [Clip("a", "a.mp4", "music", "train", ("x",))]))


@settings(deadline=None, max_examples=30)
@given(catalog=CATALOGS)
def test_round_trip(catalog: Catalog) -> None:
    assert_same(parse_catalog_json(catalog_json(catalog), "a-bundle"), catalog)


def test_the_field_twin_of_version_0_3() -> None:
    body = json.loads(ONE)
    del body["clips"][0]["extra"]
    body["clips"][0]["twin"] = "b"
    catalog = parse_catalog_json(json.dumps(body).encode(), "a-bundle")
    assert catalog["a"].extra == {"twin": "b"}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", ONE[:50], b"[" * 9999])
def test_damaged_bytes(body: bytes) -> None:
    with pytest.raises(StructAlignError, match=r"^a-bundle/catalog\.json is not a catalog: "):
        parse_catalog_json(body, "a-bundle")


@pytest.mark.parametrize(
    ("name", "value"),
    [("captions", "x"), ("captions", [1]), ("more", 1), ("twin", 1), ("extra", {"take": 2})],
)
def test_a_clip_of_other_types(name: str, value: object) -> None:
    body = json.loads(ONE)
    body["clips"][0][name] = value
    with pytest.raises(StructAlignError, match="is not a catalog"):
        parse_catalog_json(json.dumps(body).encode(), "a-bundle")

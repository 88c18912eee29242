"""A cache is read whole or not at all."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.chunks import drop
from helpers.cli import Cli
from helpers.resealed import of_version_0_2, reseal_folder
from structalign.cache import CacheRoot, Catalog, FeatureCache, StructAlignError
from structalign.cache.catalog_file import write_catalog
from structalign.cache.store import Local
from structalign.cache.verify import verify


@pytest.fixture
def copy(shared: Cli, tmp_path: Path) -> Path:
    source = CacheRoot(shared.home / "cache").published()[0]
    return Path(shutil.copytree(source, tmp_path / "copy"))


def test_reads_what_was_asked_for(copy: Path) -> None:
    cache = FeatureCache.open(copy)
    train = [clip.id for clip in cache.catalog if clip.split == "train"]
    tokens = cache.tokens(train[:3], view=1)
    assert tokens.dtype == np.float16 and tokens.shape == (3, 4, 37, 128)
    assert np.array_equal(cache.tokens([train[2]], view=1)[0], tokens[2])
    assert not np.array_equal(cache.tokens(train[:3], view=0), tokens)
    assert cache.tokens([]).shape == (0, 4, 37, 128)


def test_chunks_are_what_zarr_reads(copy: Path) -> None:
    cache = FeatureCache.open(copy)
    train = [clip.id for clip in cache.catalog if clip.split == "train"]
    order = [train[5], train[0], train[5], train[9]]
    array, places = cache.reader.array, [cache.catalog.index(clip) for clip in order]
    assert np.array_equal(cache.tokens(order, view=1), array.oindex[np.asarray(places), 1])
    both = cache.all_views(order)
    assert both.shape == (2, 4, 4, 37, 128) and np.array_equal(both[1], cache.tokens(order, view=1))
    assert np.array_equal(both[0], cache.tokens(order, view=0))


@pytest.mark.parametrize("readers", [1, 4, 64])
def test_however_many_read_the_first_bad_clip_is_named(
    copy: Path, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FeatureCache.open(copy)
    clips = [clip.id for clip in cache.catalog if clip.split == "train"]
    places = [cache.catalog.index(clip) for clip in clips]
    monkeypatch.setattr(Local, "readers", readers)
    assert np.array_equal(cache.tokens(clips), cache.reader.array.oindex[np.asarray(places), 0])
    for bad in (clips[-1], clips[-2]):
        drop(cache, bad, 0)
        with pytest.raises(StructAlignError, match=f"clip '{bad}', view 0, are missing"):
            cache.tokens(clips)


def test_a_chunk_of_another_length_is_an_error(copy: Path) -> None:
    file = copy / "tokens" / "c.0.0.0.0.0"
    body = file.read_bytes()
    file.chmod(0o644)
    for other in (body[:-1], body + b"x", b"", body[:2]):
        file.write_bytes(other)
        with pytest.raises(StructAlignError, match="view 0, are not as written"):
            FeatureCache.open(copy).tokens([FeatureCache.open(copy).catalog.clips[0].id])


def test_unknown_clip_or_view(copy: Path) -> None:
    cache = FeatureCache.open(copy)
    test = next(clip.id for clip in cache.catalog if clip.split == "test")
    with pytest.raises(StructAlignError, match="no clip 'nobody'"):
        cache.tokens(["nobody"])
    with pytest.raises(StructAlignError, match=r"has views 0\.\.0, not 1"):
        cache.tokens([test], view=1)


def test_a_flipped_byte_is_an_error_on_read(
    copy: Path, damage: Callable[[Path, int], None]
) -> None:
    for at in (0, 999, 37_000):
        file = copy / "tokens" / "c.0.0.0.0.0"
        damage(file, at)
        with pytest.raises(StructAlignError, match="damaged"):
            FeatureCache.open(copy).tokens([FeatureCache.open(copy).catalog.clips[0].id])
        damage(file, at)


def test_a_missing_chunk_is_an_error_on_read(copy: Path) -> None:
    (copy / "tokens" / "c.0.0.0.0.0").unlink()
    with pytest.raises(StructAlignError, match="view 0, are missing"):
        FeatureCache.open(copy).tokens([FeatureCache.open(copy).catalog.clips[0].id])


def test_incomplete_or_changed(copy: Path) -> None:
    catalog = (copy / "catalog.arrow").read_bytes()
    (copy / "catalog.arrow").write_bytes(catalog.replace(b"train", b"tests", 1))
    with pytest.raises(StructAlignError, match=r"catalog\.arrow is not as it was written"):
        FeatureCache.open(copy)
    (copy / "complete.json").unlink()
    with pytest.raises(StructAlignError, match="not a complete cache"):
        FeatureCache.open(copy)


def test_versions_before_0_3_are_not_read_but_removed(copy: Path, tmp_path: Path) -> None:
    """They may have the fingerprint of a new cache, whose place they would block."""
    reseal_folder(copy, of_version_0_2)
    said = r"made by a version before 0\.3, .*; remove it \('structalign cache rm'\) and extract"
    with pytest.raises(StructAlignError, match=said):
        FeatureCache.open(copy)
    CacheRoot(tmp_path).remove(copy)
    assert not copy.exists()


def other_captions(copy: Path) -> None:
    """Another catalog, with checksums that fit."""
    catalog = FeatureCache.open(copy).catalog
    clips = [replace(clip, captions=("something else",)) for clip in catalog]
    write_catalog(copy, Catalog(catalog.dataset, catalog.categories, clips))
    reseal_folder(copy, lambda files: None)


def test_another_catalog_than_the_fingerprints(copy: Path) -> None:
    other_captions(copy)
    with pytest.raises(StructAlignError, match="its catalog is not the one it was made with"):
        FeatureCache.open(copy)


def test_a_large_catalog_stays_columns(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is as with a small one, but that another one's tokens are refused, not it."""
    small = FeatureCache.open(copy)
    monkeypatch.setattr("structalign.cache.reader.LARGE", 1)
    large = FeatureCache.open(copy)
    assert not isinstance(large.catalog.clips, tuple)
    assert list(large.catalog) == list(small.catalog) and large.bytes == small.bytes
    views = small.published_views()
    assert large.published_views() == views
    assert np.array_equal(large.read(views), small.read(views))
    rows, others = large.dataset(), small.dataset()
    assert rows.rows == others.rows and np.array_equal(rows[3][0], others[3][0])
    other_captions(copy)
    with pytest.raises(StructAlignError, match="its catalog is not the one it was made with"):
        FeatureCache.open(copy).tokens([views[0][0]])
    assert verify(copy).files == ["its catalog is not the one it was made with"]


def test_finding_one(shared: Cli) -> None:
    root = CacheRoot(shared.home / "cache")
    cache = root.find(None)
    assert root.find(cache.fingerprint[:8]).fingerprint == cache.fingerprint
    assert root.find("manifest").fingerprint == cache.fingerprint
    assert root.find(str(cache.path)).fingerprint == cache.fingerprint
    with pytest.raises(StructAlignError, match="no cache 'nothing'"):
        root.find("nothing")

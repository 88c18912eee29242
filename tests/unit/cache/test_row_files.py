"""Caches of versions before 0.3, with a file for every view, are read, checked and passed on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.chunks import shard_of
from helpers.cli import Cli
from helpers.row_files import lay_out_as_before
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.cache.hdf5 import export_hdf5, import_hdf5
from structalign.cache.verify import verify
from structalign.cache.writer import CacheWriter
from structalign.core.permissions import make_writable


@pytest.fixture
def caches(shared: Cli, tmp_path: Path) -> tuple[FeatureCache, FeatureCache]:
    """As it is today, and as it was."""
    today = CacheRoot(shared.home / "cache").find(None)
    copy = Path(shutil.copytree(today.path, tmp_path / "old"))
    make_writable(copy)
    lay_out_as_before(copy)
    return today, FeatureCache.open(copy)


def test_the_same_tokens(caches: tuple[FeatureCache, FeatureCache]) -> None:
    today, old = caches
    views = today.published_views()
    assert len(list((old.path / "tokens").glob("c.*"))) == len(views)
    assert old.fingerprint == today.fingerprint and old.bytes == today.bytes
    assert np.array_equal(old.read(views), today.read(views)) and verify(old.path).ok


def test_damage_is_seen(caches: tuple[FeatureCache, FeatureCache]) -> None:
    old = caches[1]
    (first, view), (second, other) = old.published_views()[:2]
    (old.path / "tokens" / "c.0.0.0.0").unlink()
    file = old.path / "tokens" / "c.1.0.0.0"
    file.write_bytes(file.read_bytes() + b"x")
    (old.path / "tokens" / "c.999.0.0.0").write_bytes(b"x")
    found = verify(old.path)
    assert (found.missing, found.damaged) == ([(first, view)], [(second, other)])
    assert found.files == ["tokens/c.999.0.0.0 (does not belong here)"]
    with pytest.raises(StructAlignError, match="are missing"):
        old.tokens([first], view)


def test_a_bundle_of_one(caches: tuple[FeatureCache, FeatureCache], tmp_path: Path) -> None:
    today, old = caches
    export_hdf5(old, tmp_path / "old.h5")
    again = import_hdf5(tmp_path / "old.h5", CacheRoot(tmp_path / "root"), print)
    views = today.published_views()
    assert np.array_equal(again.read(views), today.read(views))


def test_its_tokens_are_taken_over_as_shards(
    caches: tuple[FeatureCache, FeatureCache], tmp_path: Path
) -> None:
    """When its quarantined clips are tried again."""
    today, old = caches
    begun = CacheWriter(tmp_path / "begun")
    (begun.path / "tokens").mkdir(parents=True)
    begun.take_tokens(old)
    shard = shard_of(today, today.catalog.clips[0].id)
    assert (begun.path / "tokens" / shard.name).read_bytes() == shard.read_bytes()


def test_what_was_begun_in_the_old_way_is_begun_anew(
    caches: tuple[FeatureCache, FeatureCache], tmp_path: Path
) -> None:
    old = caches[1]
    begun = CacheWriter(tmp_path / "begun")
    shutil.copytree(old.path, begun.path)
    (begun.path / "prepared").write_text("")
    begun.prepare(old.spec, old.catalog, old.sources, old.reader.shape[1:], lambda folder: None)
    assert not list((begun.path / "tokens").glob("c.*")) and not begun.is_finalized

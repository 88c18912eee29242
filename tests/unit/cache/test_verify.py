"""Whatever byte of a cache is flipped or cut off, verify finds it and training refuses it."""

import shutil
from pathlib import Path

import pytest
from helpers.cli import Cli
from helpers.damage import damage_all_over
from helpers.resealed import other_weights, reseal_folder, schema_2
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.cache.clip.split_weights import load_frozen
from structalign.cache.hdf5 import export_hdf5, import_hdf5
from structalign.cache.shared.permissions import make_writable
from structalign.cache.verify import verify

FLIPS, CUTS = 60, 15  # make soak does 200 and 50


@pytest.fixture
def copy(shared: Cli, tmp_path: Path) -> Path:
    source = CacheRoot(shared.home / "cache").published()[0]
    target = Path(shutil.copytree(source, tmp_path / "copy"))
    make_writable(target)
    return target


def test_flips_and_truncations_everywhere(copy: Path) -> None:
    assert damage_all_over(copy, FLIPS, CUTS, seed=0) == []


def test_names_the_clip_and_view(copy: Path) -> None:
    cache = FeatureCache.open(copy)
    first, second = cache.catalog.clips[:2]
    (copy / "tokens" / f"c.{cache.rows.row(first.id, 1)}.0.0.0").unlink()
    file = copy / "tokens" / f"c.{cache.rows.row(second.id, 0)}.0.0.0"
    file.write_bytes(file.read_bytes()[:-7])
    (copy / "tokens" / "c.9999.0.0.0").write_bytes(b"x")
    found = verify(copy)
    assert (found.damaged, found.missing) == ([(second.id, 0)], [(first.id, 1)])
    assert found.files == ["tokens/c.9999.0.0.0 (does not belong here)"]


def test_training_refuses_damaged_weights(copy: Path) -> None:
    file = copy / "frozen.safetensors"
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    with pytest.raises(
        StructAlignError, match=r"damaged: frozen\.safetensors is not as it was written"
    ):
        _ = FeatureCache.open(copy).frozen


def test_what_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(StructAlignError, match="is not a complete cache"):
        verify(tmp_path)


def test_other_weights_under_checksums_that_fit(copy: Path) -> None:
    """Nothing in the file tells but the fingerprint; zero-shot retrieval fell from 31 to 6."""
    reseal_folder(copy, other_weights)
    report = verify(copy)
    assert not report.ok and report.files == [
        "frozen.safetensors (not the weights that the fingerprint was made from)"
    ]
    cache = FeatureCache.open(copy)
    with pytest.raises(StructAlignError, match="other weights than those its fingerprint"):
        load_frozen(cache.frozen, cache.spec.weights_of_parts)


def test_a_cache_of_version_1_opens_and_is_not_imported(copy: Path, tmp_path: Path) -> None:
    reseal_folder(copy, schema_2)
    cache = FeatureCache.open(copy)
    assert cache.spec.schema == 2 and verify(copy).ok
    assert len(load_frozen(cache.frozen, cache.spec.weights_of_parts).tokenizer()("a")[0])
    export_hdf5(cache, tmp_path / "old.h5")
    with pytest.raises(StructAlignError, match="is of schema 2, whose frozen weights cannot be"):
        import_hdf5(tmp_path / "old.h5", CacheRoot(tmp_path / "root"), print)

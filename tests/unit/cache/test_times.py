"""When a player shows each frame: kept through kills and bundles, checked, optional."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from helpers.cli import Cli
from helpers.resealed import Files, reseal_folder
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.cache.hdf5 import export_hdf5, import_hdf5
from structalign.cache.layout import COMPLETE, TIMES
from structalign.cache.times import ClipTimes, TimesTable
from structalign.cache.verify import verify
from structalign.cache.writer import CacheWriter, ClipOutcome
from structalign.core.permissions import make_writable
from structalign.extract.video.decoder import Decoder


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    return CacheRoot(shared.home / "cache").find(None)


@pytest.fixture
def copy(cache: FeatureCache, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(cache.path, tmp_path / "copy"))
    make_writable(folder)
    return folder


def test_an_extraction_keeps_what_the_decoder_says(cache: FeatureCache, videos: Path) -> None:
    spec = cache.spec
    with Decoder(60) as decoder:
        for clip in cache.catalog.clips[::9]:
            path = videos / clip.path
            decoded = decoder.decode(path, clip.start, clip.end, spec.frames, spec.by_time)
            assert cache.times(clip.id) == decoded.times
            assert len(set(decoded.times.frames)) == spec.frames


def test_a_bundle_takes_them_along(cache: FeatureCache, tmp_path: Path) -> None:
    export_hdf5(cache, tmp_path / "bundle.h5")
    again = import_hdf5(tmp_path / "bundle.h5", CacheRoot(tmp_path / "root"), print)
    assert (again.path / TIMES).read_bytes() == (cache.path / TIMES).read_bytes()
    assert verify(again.path).ok


def test_a_batch_record_keeps_them(tmp_path: Path) -> None:
    writer = CacheWriter(tmp_path)
    (tmp_path / "receipts").mkdir()
    outcomes = [
        ClipOutcome("a", times=ClipTimes((0.5, 1.25), 0.25, 2.0)),
        ClipOutcome("b", "empty", "no bytes"),
    ]
    writer.write_batch_record(0, outcomes)
    assert writer.batch_record(0) == outcomes


def test_a_cache_of_version_0_3_has_none(copy: Path) -> None:
    def forget(files: Files) -> None:
        text = files[COMPLETE].decode().splitlines()
        files[COMPLETE] = "\n".join(line for line in text if TIMES not in line).encode()
        del files[TIMES]

    reseal_folder(copy, forget)
    cache = FeatureCache.open(copy)
    assert cache.times(cache.catalog.clips[0].id) is None and verify(copy).ok


def test_a_flipped_byte_is_damage(copy: Path, cache: FeatureCache) -> None:
    body = bytearray((copy / TIMES).read_bytes())
    body[-3] ^= 1
    (copy / TIMES).write_bytes(body)
    assert verify(copy).files == [TIMES]
    with pytest.raises(StructAlignError, match=f"damaged: {TIMES} is not as it was written"):
        FeatureCache.open(copy).times(cache.catalog.clips[0].id)


@pytest.mark.parametrize("frames", [np.zeros((32, 3)), np.zeros((32, 4), np.float32)])
def test_another_table_than_the_catalogs_is_refused(
    copy: Path, cache: FeatureCache, frames: np.ndarray
) -> None:
    other = safetensors.numpy.save({"frames": frames, "video": np.zeros((32, 2))})
    reseal_folder(copy, lambda files: files.update({TIMES: other}))
    with pytest.raises(StructAlignError, match=f"is damaged: {TIMES} holds"):
        FeatureCache.open(copy).times(cache.catalog.clips[0].id)


def test_what_is_no_time_is_none(cache: FeatureCache) -> None:
    """JSON has no word for NaN, which clips in quarantine have, nor for infinity."""
    clip, other = cache.catalog.ids[:2]
    table = TimesTable.of({clip: ClipTimes((1.0, 2.0), 0.0, np.inf)}, cache.catalog, 2)
    assert table.row(cache.catalog.index(clip)) is None
    assert table.row(cache.catalog.index(other)) is None

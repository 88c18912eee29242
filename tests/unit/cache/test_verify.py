"""Whatever byte of a cache is flipped or cut off, verify finds it and training refuses it."""

import hashlib
import io
import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from helpers.chunks import drop, flip, shard_of, slot_of
from helpers.cli import Cli
from helpers.damage import damage_all_over
from helpers.resealed import other_weights, reseal_folder
from structalign.backbones.split_weights import load_frozen
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.cache.layout import TOKEN_CHECKSUMS as CHECKSUMS
from structalign.cache.shards import ShardWriter
from structalign.cache.verify import verify
from structalign.core.permissions import make_writable

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
    drop(cache, first.id, 1)
    flip(cache, second.id, 0)
    (copy / "tokens" / "c.9999.0.0.0.0").write_bytes(b"x")
    found = verify(copy)
    assert (found.damaged, found.missing) == ([(second.id, 0)], [(first.id, 1)])
    assert found.files == ["tokens/c.9999.0.0.0.0 (does not belong here)"]


def test_a_shard_without_its_index_is_damage_to_all_its_clips(copy: Path) -> None:
    cache = FeatureCache.open(copy)
    inside = [clip.id for clip in cache.catalog.clips[:16]]
    shard_of(cache, inside[0]).write_bytes(shard_of(cache, inside[0]).read_bytes()[:-7])
    found = verify(copy)
    assert {clip for clip, _ in found.damaged} == set(inside) and not found.missing


def test_a_chunk_that_nobody_asked_for_does_not_belong(copy: Path) -> None:
    """A test clip has one view; a shard has room for more."""
    cache = FeatureCache.open(copy)
    clip = next(clip.id for clip in cache.catalog if clip.split == "test")
    tokens = np.repeat(cache.tokens([clip]), 2, axis=0)
    with ShardWriter(shard_of(cache, clip), 16 * cache.views.most) as shard:
        shard.put(slot_of(cache, clip, 0), 2, tokens)
    assert verify(copy).files == [f"tokens/{shard_of(cache, clip).name} (does not belong here)"]


def test_whole_shards_in_each_others_place(copy: Path) -> None:
    """Every chunk is whole; only the checksums beside them say whose it is."""
    cache = FeatureCache.open(copy)
    clips = [clip.id for clip in cache.catalog]
    first, second = shard_of(cache, clips[0]), shard_of(cache, clips[16])
    body = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(body)
    assert {clip for clip, _ in verify(copy).damaged} == set(clips[:32])
    with pytest.raises(StructAlignError, match=f"tokens of clip '{clips[20]}', view 0, are not as"):
        FeatureCache.open(copy).tokens([clips[20]])


def test_a_whole_chunk_of_other_tokens(copy: Path) -> None:
    """As a copy that was mixed with another cache's files, or written by another program."""
    cache = FeatureCache.open(copy)
    clip, other = (clip.id for clip in cache.catalog.clips[:2])
    with ShardWriter(shard_of(cache, clip), 16 * cache.views.most) as shard:
        shard.put(slot_of(cache, clip, 1), 1, cache.tokens([other], 1))
    assert verify(copy).damaged == [(clip, 1)]
    assert np.isfinite(FeatureCache.open(copy).tokens([clip], 0)).all()


def test_checksums_that_are_none(copy: Path) -> None:
    def one_clip_less(files: dict[str, bytes]) -> None:
        checksums = np.load(io.BytesIO(files[CHECKSUMS]))
        written = io.BytesIO()
        np.save(written, checksums[1:])
        files[CHECKSUMS] = written.getvalue()

    reseal_folder(copy, one_clip_less)
    assert verify(copy).files == [
        "its tokens cannot be opened (checksums.npy holds (31, 2) checksums, not (32, 2))"
    ]


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
        load_frozen(cache.frozen, cache.spec.weights)


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "loop"])
@pytest.mark.parametrize("name", ["shard", "checksums.npy", "tokens/zarr.json"])
def test_what_is_no_file_is_named_at_once(kind: str, name: str, copy: Path) -> None:
    """A pipe's opening waits for ever; a folder or loop was a traceback."""
    cache = FeatureCache.open(copy)
    file = shard_of(cache, cache.catalog.clips[0].id) if name == "shard" else copy / name
    file.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "folder":
            file.mkdir()
        elif kind == "loop":
            file.symlink_to(file)
        else:
            here = os.open(copy, os.O_RDONLY)  # a socket's whole path has at most 107 characters
            listening.bind(f"/proc/self/fd/{here}/{file.relative_to(copy)}")
            os.close(here)
        try:
            assert not verify(copy).ok
        except StructAlignError as error:
            assert file.name in str(error) and "\n" not in str(error)
        with pytest.raises(
            (StructAlignError, OSError), match=r"plain file|symbolic|No such|missing"
        ):
            FeatureCache.open(copy).tokens([cache.catalog.clips[0].id])


def test_tokens_that_claim_a_huge_shape(copy: Path) -> None:
    """Sealed again by a stranger: one line, no MemoryError."""
    array = json.loads((copy / "tokens/zarr.json").read_text())
    array["shape"][2:] = [10**6, 10**6, 10**6]
    (copy / "tokens/zarr.json").write_text(json.dumps(array))

    def reseal(files: dict[str, bytes]) -> None:
        complete = json.loads(files["complete.json"])
        digest = hashlib.sha256((copy / "tokens/zarr.json").read_bytes()).hexdigest()
        complete["files"]["tokens/zarr.json"] = digest
        files["complete.json"] = json.dumps(complete).encode()

    reseal_folder(copy, reseal)
    report = verify(copy)
    assert len(report.damaged) == 48
    with pytest.raises(StructAlignError, match=r"no memory for 1 views|damaged"):
        cache = FeatureCache.open(copy)
        cache.tokens([cache.catalog.clips[0].id])

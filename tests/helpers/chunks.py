"""Single chunks of a cache's token array: where they lie, and damage to them alone."""

from pathlib import Path

from crc32c import crc32c
from structalign.cache import FeatureCache
from structalign.cache.shards import NO_CHUNK, Index, read_index
from structalign.cache.store import LocalFile
from structalign.cache.tokens import SHARD_CLIPS


def shard_of(cache: FeatureCache, clip: str) -> Path:
    """The file with a clip's chunks."""
    return cache.path / "tokens" / f"c.{cache.catalog.index(clip) // SHARD_CLIPS}.0.0.0.0"


def slot_of(cache: FeatureCache, clip: str, view: int) -> int:
    """A view's place in its shard."""
    return cache.catalog.index(clip) % SHARD_CLIPS * cache.views.most + view


def flip(cache: FeatureCache, clip: str, view: int, byte: int = 100) -> None:
    """Flip a bit of one chunk."""
    path = shard_of(cache, clip)
    body = bytearray(path.read_bytes())
    body[_offset(cache, clip, view) + byte] ^= 1
    path.write_bytes(body)


def drop(cache: FeatureCache, clip: str, view: int) -> None:
    """Take one chunk out of the index, whose own checksum stays right."""
    path = shard_of(cache, clip)
    body = path.read_bytes()
    slots = SHARD_CLIPS * cache.views.most
    index = _index(cache, clip).copy()
    index[slot_of(cache, clip, view)] = NO_CHUNK
    packed = index.astype("<u8").tobytes()
    path.unlink()  # an open reader's index is of the old file
    chunks = body[: -(slots * 16 + 4)]
    path.write_bytes(chunks + packed + crc32c(packed).to_bytes(4, "little"))


def _offset(cache: FeatureCache, clip: str, view: int) -> int:
    return int(_index(cache, clip)[slot_of(cache, clip, view), 0])


def _index(cache: FeatureCache, clip: str) -> Index:
    with LocalFile(shard_of(cache, clip)) as file:
        return read_index(file, SHARD_CLIPS * cache.views.most)

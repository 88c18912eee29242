"""The token array in Zarr: create, open, read, check. A shard holds 16 clips, a chunk one view.

Chunks are read straight from their files, near the rate of a memory map and an order of magnitude
faster than through Zarr; behind a URL by byte ranges. Any Zarr 3 reader can read the array.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec

from ..core.errors import StructAlignError
from ..core.files import share_mode
from .catalog import Catalog
from .shards import (
    CHECKSUM,
    NOWHERE,
    BadShardError,
    Index,
    ShardWriter,
    index_size,
    is_whole,
    parse_index,
    read_chunk,
    read_index,
)
from .spec import CacheSpec
from .token_checksums import Checksums

SHARD_CLIPS = 16  # also a batch of extraction: a shard has one writer
# The system copies one reader's chunk while another's checksum is computed.
READERS = min(4, os.cpu_count() or 1)
REQUESTS = 16  # at a time, to a server
SIGNLESS, INFINITY = 0x7FFF, 0x7C00  # float16: Inf and NaN have all bits of the exponent set

View = tuple[str, int]  # a clip's id, and which of its views
ZarrArray = Any  # zarr.Array: Zarr is not type-checked here


class ViewTable:
    """The views of every clip: a training clip has ``views`` of them, a test clip one."""

    def __init__(self, catalog: Catalog, views: int) -> None:
        self.catalog, self.most = catalog, views

    def views(self, clip_id: str) -> int:
        """How many views a clip has."""
        return self.most if self.catalog[clip_id].split == "train" else 1

    def check(self, view: View) -> View:
        """The same. Raises StructAlignError for a clip or view that is not there."""
        clip_id, number = view
        if clip_id not in self.catalog:
            raise StructAlignError(f"no clip '{clip_id}' in this cache")
        if not 0 <= number < (count := self.views(clip_id)):
            raise StructAlignError(f"clip '{clip_id}' has views 0..{count - 1}, not {number}")
        return view

    @cached_property
    def _rows(self) -> dict[View, int]:
        views = [(clip.id, view) for clip in self.catalog for view in range(self.views(clip.id))]
        return {view: row for row, view in enumerate(views)}

    def row(self, view: View) -> int:
        """A view's place among all views of all clips, side by side in catalog order."""
        return self._rows[view]

    def __len__(self) -> int:
        return self.catalog.count("train") * self.most + self.catalog.count("test")


class ChunkError(Exception):
    """A chunk is missing, or differs from what was written."""

    def __init__(self, view: View, missing: bool) -> None:
        super().__init__(view, missing)
        self.view, self.missing = view, missing


def is_remote(reference: str | Path) -> bool:
    """Whether a cache is named by a URL (s3://, http://, https://, ...) instead of a folder."""
    return "://" in str(reference)


def create_tokens(
    folder: Path, catalog: Catalog, spec: CacheSpec, token_shape: tuple[int, int]
) -> None:
    """An empty array under ``folder``: float16 [clips, views, frames, 1 + patches, width]."""
    chunk = (spec.frames, *token_shape)
    zarr.create_array(
        folder / "tokens",
        shape=(len(catalog), spec.views, *chunk),
        chunks=(1, 1, *chunk),
        shards=(SHARD_CLIPS, spec.views, *chunk),
        dtype=spec.token_dtype,
        serializer=BytesCodec(),
        compressors=Crc32cCodec(),
        fill_value=float("nan"),  # a missing chunk reads as NaN, which is refused
        chunk_key_encoding={"name": "default", "separator": "."},
        overwrite=True,
    )
    share_mode(folder / "tokens" / "zarr.json")


def open_zarr(cache: Path) -> ZarrArray:
    """The Zarr array of the cache in a folder, or at a URL. Raises OSError or ValueError."""
    if is_remote(cache):
        store = zarr.storage.FsspecStore.from_url(str(cache / "tokens"), read_only=True)
        return zarr.open_array(store, mode="r")
    return zarr.open_array(cache / "tokens", mode="r")


def shard_writer(cache: Path, shard: int, views: int) -> ShardWriter:
    """Writes a shard of the array of clips with at most ``views`` views.

    Clip ``n`` of a shard has the slots from ``n * views`` on.
    """
    return ShardWriter(cache / "tokens" / f"c.{shard}.0.0.0.0", SHARD_CLIPS * views)


class TokenReader(ABC):
    """Reads views of clips from the token array, every checksum verified."""

    def __init__(self, cache: Path, array: ZarrArray, table: ViewTable) -> None:
        self.cache, self.array, self.table = cache, array, table
        self.shape: tuple[int, int, int] = array.shape[-3:]

    def read(self, views: Sequence[View]) -> NDArray[Any]:
        """Some views: [len(views), frames, 1 + patches, width].

        Raises:
            ChunkError: for the first view that is missing or damaged.
            ValueError, OSError, RuntimeError: from the network or Zarr, behind a URL.
        """
        if is_remote(self.cache):
            return self._read_remote(views)
        out = np.empty((len(views), *self.shape), self.array.dtype.newbyteorder("<"))
        memory = out.reshape(-1).view(np.uint8).data
        readers = min(READERS, len(views))

        def read_share(reader: int) -> None:
            begin, end = (len(views) * part // readers for part in (reader, reader + 1))
            size = len(memory) // len(views)
            self._read_into(views[begin:end], memory[begin * size : end * size])

        if readers == 1:
            read_share(0)
        elif readers:
            with ThreadPoolExecutor(readers) as pool:
                list(pool.map(read_share, range(readers)))  # raises the first share's error first
        return out

    def state(self, view: View) -> Literal["good", "damaged", "missing"]:
        """Whether one view reads back whole and finite."""
        try:
            tokens = self.read([view])
        except ChunkError as error:
            return "missing" if error.missing else "damaged"
        except (ValueError, OSError, RuntimeError):
            return "damaged"
        return "good" if all_finite(tokens) else "damaged"

    def _read_remote(self, views: Sequence[View]) -> NDArray[Any]:
        if not views:
            return np.empty((0, *self.shape), self.array.dtype)
        tokens = self._select(views)
        missing = np.isnan(tokens[:, 0, 0, 0])  # the fill value; no published token is NaN
        if missing.any():
            raise ChunkError(views[int(np.argmax(missing))], True)
        return tokens

    @abstractmethod
    def files(self, views: Sequence[View]) -> set[str]:
        """The names of the files that hold some views, and nothing else."""

    @abstractmethod
    def _read_into(self, views: Sequence[View], memory: memoryview) -> None:
        """Fill ``memory`` with some views, from files. Raises ChunkError."""

    @abstractmethod
    def _select(self, views: Sequence[View]) -> NDArray[Any]:
        """Some views, through Zarr."""


class ShardReader(TokenReader):
    """Reads from shards: [clips, views, frames, 1 + patches, width].

    With ``checksums`` a chunk is refused that is whole but not the one written for its view.
    """

    def __init__(
        self, cache: Path, array: ZarrArray, table: ViewTable, checksums: Checksums | None
    ) -> None:
        super().__init__(cache, array, table)
        self._checksums = checksums
        self._indexes: dict[int, tuple[object, Index]] = {}

    def files(self, views: Sequence[View]) -> set[str]:
        """Shards that hold exactly these views of their clips."""
        slots: dict[int, set[int]] = {}
        for view in views:
            shard, slot = self._where(view)
            slots.setdefault(shard, set()).add(slot)
        return {self._name(shard) for shard, wanted in slots.items() if self._holds(shard, wanted)}

    def checksums(self, views: Sequence[View]) -> Checksums:
        """Of the chunks of some views that are whole, from their shards; 0 for all others."""
        found = np.zeros((len(self.table.catalog), self.table.most), np.uint32)
        for view in views:
            shard, slot = self._where(view)
            file, index = self._open(shard, keep=True)
            try:
                end = int(index[slot].sum())
                body = os.pread(file, CHECKSUM, end - CHECKSUM)
            finally:
                os.close(file)
            found[self.table.catalog.place(view[0]), view[1]] = int.from_bytes(body, "little")
        return found

    def _is_written_for(self, view: View, checksum: int) -> bool:
        if self._checksums is None:  # an unfinished cache, or an older version's
            return True
        place, number = self.table.catalog.place(view[0]), view[1]
        return int(self._checksums[place, number]) == checksum

    def _holds(self, shard: int, wanted: set[int]) -> bool:
        """Whether a shard has no other slot filled; true for one that cannot be read."""
        try:
            index = self._open(shard)[1]
        except (BadShardError, FileNotFoundError):
            return True
        return set(np.flatnonzero(index[:, 0] != NOWHERE).tolist()) <= wanted

    def _read_into(self, views: Sequence[View], memory: memoryview) -> None:
        size, file, current = len(memory) // max(1, len(views)), -1, -1
        try:
            for number, view in enumerate(views):
                shard, slot = self._where(view)
                if shard != current:
                    if file >= 0:
                        os.close(file)
                    file = -1
                    file, index = self._open(shard, keep=True)
                    current = shard
                offset, length = map(int, index[slot])
                if offset == NOWHERE:
                    raise ChunkError(view, True)
                checksum = read_chunk(file, offset, length, memory[number * size :][:size])
                if checksum is None or not self._is_written_for(view, checksum):
                    raise ChunkError(view, False)
        except FileNotFoundError:
            raise ChunkError(view, True) from None
        except BadShardError:
            raise ChunkError(view, False) from None
        finally:
            if file >= 0:
                os.close(file)

    def _open(self, shard: int, keep: bool = False) -> tuple[int, Index]:
        """A shard's open file, unless it is closed again, and its index, read once a file."""
        file = os.open(self.cache / "tokens" / self._name(shard), os.O_RDONLY)
        try:
            status, known = os.fstat(file), self._indexes.get(shard)
            version = status.st_ino, status.st_size, status.st_mtime_ns
            if known is None or known[0] != version:
                known = version, read_index(file, self._slots)
                self._indexes[shard] = known
        except BaseException:
            os.close(file)
            raise
        if not keep:
            os.close(file)
        return file, known[1]

    def _where(self, view: View) -> tuple[int, int]:
        shard, place = divmod(self.table.catalog.place(view[0]), SHARD_CLIPS)
        return shard, place * self.table.most + view[1]

    @property
    def _slots(self) -> int:
        return SHARD_CLIPS * self.table.most

    @staticmethod
    def _name(shard: int) -> str:
        return f"c.{shard}.0.0.0.0"

    def _select(self, views: Sequence[View]) -> NDArray[Any]:
        """By byte ranges; a server that does not know them sends whole shards, which do, too."""
        where = [self._where(view) for view in views]
        with ThreadPoolExecutor(REQUESTS) as pool:
            shards = list(dict.fromkeys(shard for shard, _ in where))
            indexes = dict(zip(shards, pool.map(self._fetch_index, shards), strict=True))
            places = []
            for view, (shard, slot) in zip(views, where, strict=True):
                index = indexes[shard]
                if index is None or index[slot, 0] == NOWHERE:
                    raise ChunkError(view, index is not None or not self._is_there(shard))
                places.append((shard, *map(int, index[slot])))
            bodies = list(pool.map(lambda place: self._fetch(*place), places))
        size = self.array.dtype.itemsize * math.prod(self.shape)
        for view, body in zip(views, bodies, strict=True):
            checksum = int.from_bytes(body[-CHECKSUM:], "little")
            if len(body) != size + CHECKSUM or not is_whole(body):
                raise ChunkError(view, False)
            if not self._is_written_for(view, checksum):
                raise ChunkError(view, False)
        joined = b"".join(body[:-CHECKSUM] for body in bodies)
        return np.frombuffer(joined, "<f2").reshape(len(views), *self.shape).copy()

    def _fetch_index(self, shard: int) -> Index | None:
        """None where there is none that is whole."""
        known = self._indexes.get(shard)
        if known is None:
            size = index_size(self._slots)
            try:
                body = self._remote(shard, -size, None)[-size:]
                known = self._indexes[shard] = None, parse_index(body, self._slots)
            except (FileNotFoundError, BadShardError):
                return None
        return known[1]

    def _is_there(self, shard: int) -> bool:
        return bool((self.cache / "tokens" / self._name(shard)).exists())

    def _fetch(self, shard: int, offset: int, length: int) -> bytes:
        body = self._remote(shard, offset, offset + length)
        return body if len(body) <= length else body[offset : offset + length]

    def _remote(self, shard: int, start: int, end: int | None) -> bytes:
        path: Any = self.cache / "tokens" / self._name(shard)  # a UPath
        return bytes(path.fs.cat_file(path.path, start=start, end=end))


def open_tokens(
    cache: Path, catalog: Catalog, views: int, checksums: Checksums | None = None
) -> TokenReader:
    """Read access to the array of a cache, as this version or an older one laid it out.

    Args:
        checksums: what each chunk must have; without them any whole chunk is taken.

    Raises:
        OSError, ValueError: it cannot be opened, or has another shape.
    """
    from .row_files import RowFileReader

    array, table = open_zarr(cache), ViewTable(catalog, views)
    if array.ndim == 4 and array.shape[0] == len(table):
        return RowFileReader(cache, array, table)
    if array.ndim != 5 or array.shape[:2] != (len(catalog), views):
        raise ValueError(f"an array of {array.shape}")
    return ShardReader(cache, array, table, checksums)


def all_finite(tokens: NDArray[np.float16]) -> bool:
    """Fast NaN and Inf check for float16, from the bits: ten times as fast as NumPy's."""
    return bool((tokens.view(np.uint16) & SIGNLESS).max(initial=0) < INFINITY)

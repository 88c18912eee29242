"""The token array in Zarr: create, read, write, check. One chunk a (clip, view), with a CRC-32C.

In a folder chunks are read straight from their files, near the rate of a memory map and an order
of magnitude faster than through Zarr; behind a URL they are read by Zarr.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from crc32c import crc32c
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec

from .catalog import Catalog
from .runtime.errors import StructAlignError
from .shared.files import share_mode
from .spec import CacheSpec

CHECKSUM = 4  # bytes
# The system copies one reader's chunk while another's checksum is computed.
READERS = min(4, os.cpu_count() or 1)
SIGNLESS, INFINITY = 0x7FFF, 0x7C00  # float16: Inf and NaN have all bits of the exponent set

TokenArray = Any  # zarr.Array: Zarr is not type-checked here


class RowTable:
    """Row of each (clip, view): clips in catalog order, views side by side; a test clip has one."""

    def __init__(self, catalog: Catalog, views: int) -> None:
        self._first: dict[str, tuple[int, int]] = {}
        row = 0
        for clip in catalog:
            count = views if clip.split == "train" else 1
            self._first[clip.id] = (row, count)
            row += count
        self._total = row

    def __len__(self) -> int:
        return self._total

    def views(self, clip_id: str) -> int:
        """How many views a clip has."""
        return self._first[clip_id][1]

    def row(self, clip_id: str, view: int) -> int:
        """Raises StructAlignError for a clip or view that is not there."""
        if clip_id not in self._first:
            raise StructAlignError(f"no clip '{clip_id}' in this cache")
        first, count = self._first[clip_id]
        if not 0 <= view < count:
            raise StructAlignError(f"clip '{clip_id}' has views 0..{count - 1}, not {view}")
        return first + view


class ChunkError(Exception):
    """A chunk is missing, or differs from what was written."""

    def __init__(self, row: int, missing: bool) -> None:
        super().__init__(row, missing)
        self.row, self.missing = row, missing


def is_remote(reference: str | Path) -> bool:
    """Whether a cache is named by a URL (s3://, http://, https://, ...) instead of a folder."""
    return "://" in str(reference)


def create_tokens(
    folder: Path, catalog: Catalog, spec: CacheSpec, token_shape: tuple[int, int]
) -> None:
    """An empty array under ``folder``: float16 [rows, frames, 1 + patches, width]."""
    shape = (len(RowTable(catalog, spec.views)), spec.frames, *token_shape)
    zarr.create_array(
        folder / "tokens",
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=spec.token_dtype,
        serializer=BytesCodec(),
        compressors=Crc32cCodec(),
        fill_value=float("nan"),  # a missing chunk reads as NaN, which is refused
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
        overwrite=True,
    )
    share_mode(folder / "tokens" / "zarr.json")


def open_tokens(cache: Path, writable: bool = False) -> TokenArray:
    """The array of the cache in a folder, or at a URL. Raises OSError or ValueError."""
    if is_remote(cache):
        store = zarr.storage.FsspecStore.from_url(str(cache / "tokens"), read_only=True)
        return zarr.open_array(store, mode="r")
    config = {"write_empty_chunks": True} if writable else None
    return zarr.open_array(cache / "tokens", mode="r+" if writable else "r", config=config)


def write_tokens(array: TokenArray, row: int, tokens: NDArray[np.float16]) -> None:
    """Write one (clip, view): float16 [frames, 1 + patches, width], one chunk."""
    array[row] = tokens


def read_tokens(cache: Path, array: TokenArray, rows: Sequence[int]) -> NDArray[Any]:
    """Rows of the array, every checksum verified: [len(rows), frames, 1 + patches, width].

    Raises:
        ChunkError: for the first row that is missing or damaged.
        ValueError, OSError, RuntimeError: from the network or Zarr, behind a URL.
    """
    if is_remote(cache):
        return _read_remote(array, rows)
    return _read_chunks(cache / "tokens", rows, array.shape[1:], array.dtype)


def row_state(cache: Path, array: TokenArray, row: int) -> Literal["good", "damaged", "missing"]:
    """Whether one row reads back whole and finite."""
    try:
        tokens = read_tokens(cache, array, [row])
    except ChunkError as error:
        return "missing" if error.missing else "damaged"
    except (ValueError, OSError, RuntimeError):
        return "damaged"
    return "good" if all_finite(tokens) else "damaged"


def all_finite(tokens: NDArray[np.float16]) -> bool:
    """Fast NaN and Inf check for float16, from the bits: ten times as fast as NumPy's."""
    return bool((tokens.view(np.uint16) & SIGNLESS).max(initial=0) < INFINITY)


def _read_remote(array: TokenArray, rows: Sequence[int]) -> NDArray[Any]:
    if not rows:
        return np.empty((0, *array.shape[1:]), array.dtype)
    tokens = np.asarray(array.oindex[np.asarray(rows)])
    missing = np.isnan(tokens[:, 0, 0, 0])  # the fill value; no published token is NaN
    if missing.any():
        raise ChunkError(rows[int(np.argmax(missing))], True)
    return tokens


def _read_chunks(
    folder: Path, rows: Sequence[int], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    out = np.empty((len(rows), *shape), dtype.newbyteorder("<"))
    memory = out.reshape(-1).view(np.uint8).data
    size = len(memory) // max(1, len(rows))
    readers = min(READERS, len(rows))

    def read_share(reader: int) -> None:
        for place in range(len(rows) * reader // readers, len(rows) * (reader + 1) // readers):
            _read_chunk(folder, rows[place], memory[place * size : (place + 1) * size])

    if readers == 1:
        read_share(0)
    elif readers:
        with ThreadPoolExecutor(readers) as pool:
            list(pool.map(read_share, range(readers)))  # raises the first share's error first
    return out


def _read_chunk(folder: Path, row: int, body: memoryview) -> None:
    rest = bytearray(CHECKSUM + 1)
    try:
        file = os.open(f"{folder}/c.{row}.0.0.0", os.O_RDONLY)
    except FileNotFoundError:
        raise ChunkError(row, True) from None
    try:
        size = os.readv(file, [body, rest])
    finally:
        os.close(file)
    expected = int.from_bytes(rest[:CHECKSUM], "little")
    if size != len(body) + CHECKSUM or crc32c(body) != expected:
        raise ChunkError(row, False)

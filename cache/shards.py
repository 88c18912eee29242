"""A shard of the token array: a file of chunks, each with its CRC-32C, and their index.

The format is Zarr 3's ``sharding_indexed`` codec with the index at the end.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from .store import ByteRanges, LocalFile

CHECKSUM = 4  # bytes
NO_CHUNK = np.uint64(2**64 - 1)  # the offset, in the index, of a slot without a chunk
LARGEST_FILE = 2**62  # bytes

Index = NDArray[np.uint64]  # [slots, 2]: offset and length


class BadShardError(Exception):
    """A shard's index is not as it was written, or does not fit its file."""


def read_index(file: ByteRanges, slots: int) -> Index:
    """Where each slot's chunk lies in a shard. Raises BadShardError."""
    size = slots * 16 + CHECKSUM
    body = file.tail(size)
    if len(body) != size or _checksum(body[:-CHECKSUM]) != body[-CHECKSUM:]:
        raise BadShardError
    return np.frombuffer(body[:-CHECKSUM], "<u8").reshape(slots, 2).astype(np.uint64)


def read_chunk(file: ByteRanges, offset: int, length: int, body: memoryview) -> int | None:
    """Fill ``body`` with a chunk; its checksum, or None for another length or other bytes."""
    if length != len(body) + CHECKSUM or offset + length > LARGEST_FILE:
        return None
    stored = bytearray(CHECKSUM)
    if file.read_into([body, stored], offset) != length:
        return None
    checksum = crc32c(body)
    return checksum if checksum == int.from_bytes(stored, "little") else None


def _checksum(body: bytes) -> bytes:
    return crc32c(body).to_bytes(CHECKSUM, "little")


class ShardWriter:
    """A context manager that writes a shard: new chunks, and those kept of the file it replaces."""

    def __init__(self, path: Path, slots: int) -> None:
        self.path, self.slots = path, slots
        self._index: Index = np.full((slots, 2), NO_CHUNK, np.uint64)
        self._next, self._is_changed = 0, False
        self._old: LocalFile | None = None
        self._old_index = self._index.copy()
        with suppress(FileNotFoundError, BadShardError):
            self._old = LocalFile(path)
            self._old_index = read_index(self._old, slots)
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._file: BinaryIO | None = None

    def __enter__(self) -> "ShardWriter":
        return self

    def put(self, first: int, count: int, chunks: NDArray[np.float16] | None) -> None:
        """Replace ``count`` slots from ``first`` on; slots must come in ascending order.

        ``chunks`` is float16 [at most count, ...]: slots beyond them stay empty. None empties all.
        """
        if chunks is None and (self._old_index[first : first + count] == NO_CHUNK).all():
            return
        self._is_changed = True
        self._keep_until(first)
        for slot, chunk in enumerate(() if chunks is None else chunks, first):
            body = np.ascontiguousarray(chunk).astype("<f2", copy=False).tobytes()
            self._write(slot, body + _checksum(body))
        self._next = first + count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            if kind is None and self._is_changed:
                self._keep_until(self.slots)
                if self._file is not None:
                    index = self._index.astype("<u8").tobytes()
                    self._file.write(index + _checksum(index))
                    self._file.close()
                    os.replace(self._temporary, self.path)
        finally:
            if self._file is not None:
                self._file.close()
            if self._old is not None:
                self._old.close()
            self._temporary.unlink(missing_ok=True)

    def _keep_until(self, slot: int) -> None:
        """Copy the old chunks of the slots before ``slot``."""
        for kept in range(self._next, slot):
            offset, length = map(int, self._old_index[kept])
            if self._old is not None and offset != NO_CHUNK:
                chunk = bytearray(length)
                size = self._old.read_into([chunk], offset)
                self._write(kept, bytes(chunk[:size]))

    def _write(self, slot: int, chunk: bytes) -> None:
        if self._file is None:
            self._file = self._temporary.open("wb")
        self._index[slot] = self._file.tell(), len(chunk)
        self._file.write(chunk)

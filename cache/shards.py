"""One shard of the token array: a file of chunks, each with its CRC-32C, and their index.

As Zarr 3's codec ``sharding_indexed`` has it, the index at the end. A file is written whole, in the
order of its slots, and takes its place with one rename: nothing else ever changes it.
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

CHECKSUM = 4  # bytes
NOWHERE = np.uint64(2**64 - 1)  # in the index: a slot without a chunk
LARGEST_FILE = 2**62  # bytes

Index = NDArray[np.uint64]  # [slots, 2]: offset and length


class BadShardError(Exception):
    """A shard's index is not as it was written, or does not fit its file."""


def index_size(slots: int) -> int:
    """Bytes of an index, at the end of its file."""
    return slots * 16 + CHECKSUM


def read_index(file: int, slots: int) -> Index:
    """Where each slot's chunk lies in an open file. Raises BadShardError."""
    size, end = index_size(slots), os.fstat(file).st_size
    return parse_index(os.pread(file, size, max(0, end - size)), slots)


def parse_index(body: bytes, slots: int) -> Index:
    """An index from its bytes. Raises BadShardError."""
    if len(body) != index_size(slots) or not is_whole(body):
        raise BadShardError
    return np.frombuffer(body[:-CHECKSUM], "<u8").reshape(slots, 2).astype(np.uint64)


def is_whole(body: bytes) -> bool:
    """Whether bytes end with the checksum of those before."""
    return _checksum(body[:-CHECKSUM]) == body[-CHECKSUM:]


def read_chunk(file: int, offset: int, length: int, body: memoryview) -> int | None:
    """Fill ``body`` with a chunk; its checksum, None unless it is as long and as it was written."""
    if length != len(body) + CHECKSUM or offset + length > LARGEST_FILE:
        return None
    rest = bytearray(CHECKSUM)
    if os.preadv(file, [body, rest], offset) != length:
        return None
    checksum = crc32c(body)
    return checksum if checksum == int.from_bytes(rest, "little") else None


def _checksum(body: bytes) -> bytes:
    return crc32c(body).to_bytes(CHECKSUM, "little")


class ShardWriter:
    """A shard being written: new chunks, and those of the file that it replaces.

    One writer a shard. Used with ``with``: without an error the file takes its place in the end.
    """

    def __init__(self, path: Path, slots: int) -> None:
        self.path, self.slots = path, slots
        self._index: Index = np.full((slots, 2), NOWHERE, np.uint64)
        self._next, self._is_changed = 0, False
        self._old: BinaryIO | None = None
        self._old_index = self._index.copy()
        with suppress(FileNotFoundError, BadShardError):
            self._old = path.open("rb")
            self._old_index = read_index(self._old.fileno(), slots)
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._file: BinaryIO | None = None

    def __enter__(self) -> "ShardWriter":
        return self

    def put(self, first: int, count: int, chunks: NDArray[np.float16] | None) -> None:
        """The chunks of the slots from ``first`` on, in ascending order; None leaves them empty.

        What the old file had in these slots is dropped.
        """
        if chunks is None and (self._old_index[first : first + count] == NOWHERE).all():
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
            for file in (self._file, self._old):
                if file is not None:
                    file.close()
            self._temporary.unlink(missing_ok=True)

    def _keep_until(self, slot: int) -> None:
        """Copy the old chunks of the slots before ``slot``."""
        for kept in range(self._next, slot):
            offset, length = map(int, self._old_index[kept])
            if self._old is not None and offset != NOWHERE:
                self._old.seek(offset)
                self._write(kept, self._old.read(length))

    def _write(self, slot: int, chunk: bytes) -> None:
        if self._file is None:
            self._file = self._temporary.open("wb")
        self._index[slot] = self._file.tell(), len(chunk)
        self._file.write(chunk)

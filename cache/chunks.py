"""Reading token chunks from a folder: each file is one (clip, view), its bytes and after them their CRC-32C, as Zarr's codec leaves them.

Zarr reads the same files, and reads them where the cache is remote. Going straight to them is an order of magnitude faster, near
the rate of a memory map.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

CHECKSUM = 4  # bytes
READERS = min(4, os.cpu_count() or 1)  # the system copies a chunk for one reader while another's checksum is taken


class ChunkError(Exception):
    """A chunk is not there or not as it was written."""

    def __init__(self, row: int, missing: bool) -> None:
        super().__init__(row, missing)
        self.row, self.missing = row, missing


def read_chunks(folder: Path, rows: Sequence[int], shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Rows of the token array in ``folder``, each chunk proven where it came to lie: [len(rows), *shape].

    Raises:
        ChunkError: for the first row that is missing, too short or too long, or whose checksum differs.
    """
    out = np.empty((len(rows), *shape), np.dtype(dtype).newbyteorder("<"))
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
            list(pool.map(read_share, range(readers)))  # raises what a share raised, the first share's first
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
    if size != len(body) + CHECKSUM or crc32c(body) != int.from_bytes(rest[:CHECKSUM], "little"):
        raise ChunkError(row, False)

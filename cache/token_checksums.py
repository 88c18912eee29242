"""The CRC-32C of every chunk of tokens, kept beside them, under the manifest's checksum.

A chunk proves with its own checksum that it is whole; with this file, that it is the one which was
written for this view: not another clip's, nor that of another cache.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.files import write_bytes

FILE = "checksums.npy"

Checksums = NDArray[np.uint32]  # [clips, views] in catalog order, 0 without a chunk


def write_checksums(folder: Path, checksums: Checksums) -> None:
    """Write them into a folder as NumPy's ``.npy``."""
    body = io.BytesIO()
    np.save(body, checksums.astype("<u4"), allow_pickle=False)
    write_bytes(folder / FILE, body.getvalue())


def parse_checksums(body: bytes, clips: int, views: int) -> Checksums:
    """From the bytes of the file. Raises ValueError where it holds something else."""
    found = np.load(io.BytesIO(body), allow_pickle=False)
    if not isinstance(found, np.ndarray) or found.dtype != np.dtype("<u4"):
        raise ValueError(f"{FILE} holds no checksums")
    if found.shape != (clips, views):
        raise ValueError(f"{FILE} holds {found.shape} checksums, not {(clips, views)}")
    return found

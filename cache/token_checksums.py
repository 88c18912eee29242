"""``checksums.npy``: the CRC-32C of every chunk of tokens.

A chunk's own checksum proves that it is whole. This file proves that it was written for this view:
it is no other clip's chunk, and no other cache's.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.files import write_bytes
from .layout import TOKEN_CHECKSUMS

TokenChecksums = NDArray[np.uint32]  # [clips, views] in catalog order, 0 without a chunk


def write_token_checksums(folder: Path, checksums: TokenChecksums) -> None:
    """Write checksums into the folder of a cache."""
    body = io.BytesIO()
    np.save(body, checksums.astype("<u4"), allow_pickle=False)
    write_bytes(folder / TOKEN_CHECKSUMS, body.getvalue())


def parse_token_checksums(body: bytes, clips: int, views: int) -> TokenChecksums:
    """The checksums in the bytes of the file. Raises ValueError where it holds something else."""
    checksums = np.load(io.BytesIO(body), allow_pickle=False)
    if not isinstance(checksums, np.ndarray) or checksums.dtype != np.dtype("<u4"):
        raise ValueError(f"{TOKEN_CHECKSUMS} holds no checksums")
    if checksums.shape != (clips, views):
        raise ValueError(
            f"{TOKEN_CHECKSUMS} holds {checksums.shape} checksums, not {(clips, views)}"
        )
    return checksums

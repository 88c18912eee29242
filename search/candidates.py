"""Candidates of a query among the clips of several blocks, found by whole-clip similarity alone.

The exact fused score is then computed for the candidates only, from the frame embeddings in the
gallery's files.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..core.console import log_to_stderr
from ..core.files import read_bytes, write_text
from ..core.hashing import sha256_of
from ..core.signed_json import parse_signed_text, signed_text
from ..train.gallery import Block
from ..train.runs.folder import INDEX_FILE
from .block_index import BlockIndex

SUFFIX = ".faiss"
COUNTS = (250, 500, 1_000, 2_000)  # candidates of a query
SHARES = (1 / 16, 1 / 4, 1.0)  # of the lists that are looked into
VERSION = 2


@dataclass(frozen=True)
class StoredBlock:
    """A block, with the file that holds it and the name of its index; None without a file."""

    block: Block
    file: Path | None = None
    name: str | None = None

    @property
    def state(self) -> list[int] | None:
        """Size, modification time and inode of the file.

        A copy has another inode, so an index that was copied from elsewhere is never loaded: faiss
        does not protect itself against a malicious file.
        """
        if self.file is None:
            return None
        stat = self.file.stat()
        return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


class CandidateIndex:
    """The indexes of several blocks, searched together.

    ``count``: candidates of a query, over all blocks; ``share`` of each block's lists to look into,
    0 until a check finds enough.
    """

    def __init__(self, indexes: list[BlockIndex], count: int, share: float) -> None:
        self.indexes, self.count, self.share = indexes, count, share

    @classmethod
    def open(cls, folder: Path, blocks: Sequence[StoredBlock]) -> "CandidateIndex":
        """Load the blocks' indexes from ``folder``; build those that are missing or outdated.

        What is built is saved where the folder can be written.
        """
        states, files, count, share = _read_check(folder)
        indexes = []
        for stored in blocks:
            file = folder / f"{stored.name}{SUFFIX}"
            if stored.name in states and states[stored.name] == stored.state:
                if index := BlockIndex.load(file, files.get(file.name)):
                    indexes.append(index)
                    continue
                log_to_stderr(f"{file} is missing or not as it was written; it is built again")
            index = BlockIndex.build(stored.block)
            indexes.append(index)
            if stored.name is not None:
                share = 0.0
                _write_if_allowed(partial(index.save, file), folder)
        return cls(indexes, count, share)

    def settings(self) -> Iterator[None]:
        """Set each pair of ``count`` and ``share`` in turn, cheapest first; in the end, share 0."""
        for self.count, self.share in itertools.product(COUNTS, SHARES):
            yield
        self.share = 0.0

    @property
    def count_per_block(self) -> int:
        """Candidates that each block offers."""
        return min(self.count, max(50, 4 * self.count // len(self.indexes)))

    def rows(self, texts: Sequence[Tensor], allowed: Sequence[Tensor] | None) -> list[Tensor]:
        """The candidates of each block, int64, in ascending order.

        ``texts``: the query as a unit vector [D], encoded for each block; ``allowed``: the clips of
        each block to search, bool [V], None for all.
        """
        filters: Sequence[Tensor | None] = allowed or [None] * len(texts)
        hits = (
            index.search(text, self.count_per_block, self.share, passes)
            for index, text, passes in zip(self.indexes, texts, filters, strict=True)
        )
        cosines, rows = map(list, zip(*hits, strict=True))
        joined = torch.cat(cosines)
        if len(joined) > self.count:
            least = joined.topk(self.count).values[-1]
            rows = [row[cosine >= least] for cosine, row in zip(cosines, rows, strict=True)]
        return [row.sort().values for row in rows]

    def save_check(self, folder: Path, blocks: Sequence[StoredBlock], recall: float) -> None:
        """Save which files the indexes were built from, the settings, and their recall@10."""
        states = {stored.name: stored.state for stored in blocks if stored.name is not None}
        files = [folder / f"{name}{SUFFIX}" for name in states]
        body = {
            "version": VERSION, "blocks": states, "candidates": self.count,
            "share": self.share, "recall@10": recall,
            "files": {file.name: sha256_of(file) for file in files if file.is_file()},
        }  # fmt: skip
        _write_if_allowed(lambda: write_text(folder / INDEX_FILE, signed_text(body)), folder)


Check = tuple[dict[str, list[int]], dict[str, str], int, float]


def _read_check(folder: Path) -> Check:
    """States of the indexed files, hashes of their indexes, candidates, share.

    No states where nothing valid is saved.
    """
    try:
        body = parse_signed_text(read_bytes(folder / INDEX_FILE).decode())
        if body["version"] == VERSION:
            check = body["candidates"], body["share"]
            return dict(body["blocks"]), dict(body["files"]), int(check[0]), float(check[1])
    except (OSError, ValueError, TypeError, KeyError):
        pass  # built again
    return {}, {}, COUNTS[-1], 0.0


def _write_if_allowed(write: Callable[[], None], folder: Path) -> None:
    """Save a part of the index; in another user's run it is kept in memory only."""
    with suppress(PermissionError):
        folder.mkdir(exist_ok=True)
        if os.access(folder, os.W_OK):
            write()

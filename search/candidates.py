"""An index of large galleries: a query meets the candidates by whole-clip similarity alone.

faiss finds them: inverted lists of 8-bit vectors, a byte a dimension, built in one pass (a graph
holds links besides and is built clip by clip). The exact fused score is then computed for the
candidates, from memory-mapped frame embeddings.
"""

import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import StructAlignError
from ..core.files import read_json, write_text
from ..train.gallery import Block
from ..train.seeds import generator

COUNTS = (250, 500, 1_000, 2_000)  # clips whose exact score is computed
SAMPLE = 2_048  # evaluated clips that the score's statistics are taken from
FLAT = 5_000  # clips below which lists do not pay
LEARNT_FROM = 40  # clips of each list's centre, at least
CHUNK = 4_096  # clips read at a time
SHARES = (1 / 16, 1 / 4, 1.0)  # of the lists that are looked into
ENOUGH, TRIED = 0.99, 16  # recall@10 against the exact search, over so many captions
FILE, VERSION = "index.json", 1


def whole_clips(embeddings: Tensor) -> Tensor:
    """Unit mean frames [V, D] of stored frame embeddings [V, N, D]."""
    return F.normalize(F.normalize(embeddings, dim=-1).mean(1), dim=-1)


class BlockIndex:
    """One block's clips by their whole-clip embedding."""

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    def build(cls, block: Block) -> "BlockIndex":
        """The same for the same embeddings."""
        import faiss

        clips, dim = len(block.clips), block.embeddings.shape[-1]
        lists = max(1, min(int(4 * math.sqrt(clips)), clips // LEARNT_FROM))
        kind = "SQ8" if clips < FLAT else f"IVF{lists},SQ8"
        index = faiss.index_factory(dim, kind, faiss.METRIC_INNER_PRODUCT)
        chosen = torch.arange(clips)
        if clips > 64 * lists >= FLAT:
            draw = torch.randperm(clips, generator=generator(0, "index"))
            chosen = draw[: 64 * lists].sort().values
        vectors = torch.cat([whole_clips(chunk) for chunk in block.chunks(CHUNK)])
        index.train(vectors[chosen].numpy())
        index.add(vectors.numpy())
        return cls(index)

    def __len__(self) -> int:
        """Clips."""
        return int(self.index.ntotal)

    def candidates(
        self, text: Tensor, count: int, share: float, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Similarity and row of the clips most like a unit text [D].

        ``allowed`` (bool [V]) leaves clips out; ``share`` of the lists are looked into.
        """
        import faiss

        make: Any = faiss.SearchParameters
        make_ivf: Any = faiss.SearchParametersIVF
        count = min(count, len(self))
        selector = None if allowed is None else faiss.IDSelectorBatch(
            np.flatnonzero(allowed.numpy())
        )  # fmt: skip
        if hasattr(self.index, "nlist"):
            probes = max(1, math.ceil(share * self.index.nlist))
            how: Any = make_ivf(sel=selector, nprobe=probes)
        else:
            how = make(sel=selector)
        scores, rows = self.index.search(text[None].numpy(), count, params=how)
        found = rows[0] >= 0
        return torch.from_numpy(scores[0][found]), torch.from_numpy(rows[0][found])

    def save(self, file: Path) -> None:
        """Write it, whole or not at all."""
        import faiss

        unfinished = file.with_suffix(".tmp")
        faiss.write_index(self.index, str(unfinished))
        unfinished.replace(file)

    @classmethod
    def load(cls, file: Path) -> "BlockIndex":
        """Read it. Raises StructAlignError when it is damaged."""
        import faiss

        try:
            return cls(faiss.read_index(str(file)))
        except RuntimeError as error:
            raise StructAlignError(f"{file} is damaged; remove it, it is made again") from error


@dataclass(frozen=True)
class StoredBlock:
    """A block, with the file that it was read from and a name; None for one that has no file."""

    block: Block
    file: Path | None = None
    name: str | None = None

    @property
    def state(self) -> list[int] | None:
        """Size, modification time and inode of the file.

        The inode differs in a copy: faiss does not guard itself against a stranger's index.
        """
        if self.file is None:
            return None
        stat = self.file.stat()
        return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


class Shortlist:
    """Candidates among the clips of several blocks, the best of all blocks together.

    ``candidates`` clips are offered, and ``share`` of each block's lists looked into for them; 0
    while no check has found enough.
    """

    def __init__(self, indexes: list[BlockIndex], candidates: int, share: float) -> None:
        self.indexes, self.candidates, self.share = indexes, candidates, share

    @classmethod
    def open(cls, folder: Path, blocks: Sequence[StoredBlock]) -> "Shortlist":
        """The indexes of some blocks, kept under ``folder``.

        What is missing, or of a file that has changed, is built, and kept where the folder can be
        written.

        Raises:
            StructAlignError: an index's file is damaged.
        """
        known, candidates, share = _read(folder)
        indexes = []
        for stored in blocks:
            file = folder / f"{stored.name}.faiss"
            is_kept = stored.name is not None and known.get(stored.name) == stored.state
            if is_kept and file.is_file():
                indexes.append(BlockIndex.load(file))
                continue
            index = BlockIndex.build(stored.block)
            indexes.append(index)
            if stored.name is not None:
                share = 0.0
                _keep(partial(index.save, file), folder)
        return cls(indexes, candidates, share)

    def settings(self) -> Iterator[None]:
        """Try every number of candidates and share of lists in turn, the cheapest first."""
        for self.candidates, self.share in itertools.product(COUNTS, SHARES):
            yield
        self.share = 0.0

    @property
    def count(self) -> int:
        """Candidates that each block offers."""
        return min(self.candidates, max(50, 4 * self.candidates // len(self.indexes)))

    def rows(self, texts: Sequence[Tensor], allowed: Sequence[Tensor] | None) -> list[Tensor]:
        """The candidates of each block, in ascending order.

        Args:
            texts: the query as a unit vector [D], by each block's path.
            allowed: which clips of each block are searched, bool [V]; None is all.
        """
        scores, rows = [], []
        for number, (index, text) in enumerate(zip(self.indexes, texts, strict=True)):
            own = None if allowed is None else allowed[number]
            found, at = index.candidates(text, self.count, self.share, own)
            scores.append(found)
            rows.append(at)
        joined = torch.cat(scores)
        if len(joined) > self.candidates:
            least = joined.topk(self.candidates).values[-1]
            rows = [at[found >= least] for found, at in zip(scores, rows, strict=True)]
        return [at.sort().values for at in rows]

    def save_check(self, folder: Path, blocks: Sequence[StoredBlock], recall: float) -> None:
        """Write down what the indexes were made from, and what the check of ``share`` found."""
        states = {stored.name: stored.state for stored in blocks if stored.name is not None}
        body = {
            "version": VERSION, "blocks": states, "candidates": self.candidates,
            "share": self.share, "recall@10": recall,
        }  # fmt: skip
        text = json.dumps(body, indent=1) + "\n"
        _keep(lambda: write_text(folder / FILE, text), folder)


def _read(folder: Path) -> tuple[dict[str, list[int]], int, float]:
    """States of the files that indexes were built from, candidates, share; nothing if unknown."""
    try:
        body = read_json(folder / FILE)
        if body["version"] == VERSION:
            return dict(body["blocks"]), int(body["candidates"]), float(body["share"])
    except (OSError, ValueError, TypeError, KeyError):
        pass  # made again
    return {}, COUNTS[-1], 0.0


def _keep(write: Callable[[], None], folder: Path) -> None:
    """Write a part of the index, unless the run is another's: it serves this process alone then."""
    with suppress(PermissionError):
        folder.mkdir(exist_ok=True)
        if os.access(folder, os.W_OK):
            write()

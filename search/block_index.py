"""An index of one block's clips by whole-clip similarity, with faiss.

Inverted lists of 8-bit vectors, one byte per dimension, built in one pass (a graph such as HNSW
also stores links and is built clip by clip).
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.files import read_bytes, write_bytes
from ..train.gallery import Block
from ..train.seeds import generator

MIN_CLIPS_FOR_LISTS = 5_000  # fewer are scanned one by one
MIN_CLIPS_PER_LIST = 40  # below, the centre of a list is learnt from too little
MAX_TRAINING_CLIPS_PER_LIST = 64
CHUNK = 4_096  # clips read at a time


def whole_clips(embeddings: Tensor) -> Tensor:
    """Unit mean frames [V, D] of stored frame embeddings [V, N, D]."""
    return F.normalize(F.normalize(embeddings, dim=-1).mean(1), dim=-1)


class BlockIndex:
    """One block's clips by their whole-clip embedding."""

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    def build(cls, block: Block) -> "BlockIndex":
        """Index a block; deterministic for the same embeddings."""
        import faiss

        clips, dim = len(block.clips), block.embeddings.shape[-1]
        lists = max(1, min(int(4 * math.sqrt(clips)), clips // MIN_CLIPS_PER_LIST))
        kind = "SQ8" if clips < MIN_CLIPS_FOR_LISTS else f"IVF{lists},SQ8"
        index = faiss.index_factory(dim, kind, faiss.METRIC_INNER_PRODUCT)
        chosen, most = torch.arange(clips), MAX_TRAINING_CLIPS_PER_LIST * lists
        if clips > most >= MIN_CLIPS_FOR_LISTS:
            chosen = torch.randperm(clips, generator=generator(0, "index"))[:most].sort().values
        vectors = torch.cat([whole_clips(chunk) for chunk in block.chunks(CHUNK)])
        index.train(vectors[chosen].numpy())
        index.add(vectors.numpy())
        return cls(index)

    def __len__(self) -> int:
        """The number of clips."""
        return int(self.index.ntotal)

    def search(
        self, text: Tensor, count: int, share: float, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The ``count`` clips most like a text, a unit vector float32 [D].

        Looks into a ``share`` (above 0) of the lists; ``allowed``: bool [V], None for all clips.
        Returns approximate cosines float32 [C] and rows int64 [C], the best first.
        """
        import faiss

        given: dict[str, Any] = {}
        if allowed is not None:
            given["sel"] = faiss.IDSelectorBatch(np.flatnonzero(allowed.numpy()))
        kind: Any = faiss.SearchParameters
        if hasattr(self.index, "nlist"):
            kind = faiss.SearchParametersIVF
            given["nprobe"] = max(1, math.ceil(share * self.index.nlist))
        count = min(count, len(self))
        cosines, rows = self.index.search(text[None].numpy(), count, params=kind(**given))
        is_clip = rows[0] >= 0  # faiss fills up with -1
        return torch.from_numpy(cosines[0][is_clip]), torch.from_numpy(rows[0][is_clip])

    def save(self, file: Path) -> None:
        """Write the index, whole or not at all."""
        import faiss

        write_bytes(file, faiss.serialize_index(self.index).tobytes())

    @classmethod
    def load(cls, file: Path, sha256: str | None) -> "BlockIndex | None":
        """Read an index; None where the file is not the one that was written."""
        import faiss

        try:
            body = read_bytes(file)
        except OSError:
            return None
        if hashlib.sha256(body).hexdigest() != sha256:
            return None
        return cls(faiss.deserialize_index(np.frombuffer(body, np.uint8)))

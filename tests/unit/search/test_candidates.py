"""The best candidates of all blocks together are kept."""

from pathlib import Path

import pytest
import torch
from structalign.search.block_index import whole_clips
from structalign.search.candidates import COUNTS, CandidateIndex, StoredBlock
from structalign.train.gallery import Block
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("faiss")


def drawn(clips: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(clips, 4, 32, generator=rng), dim=-1)


def test_the_best_of_all_blocks_are_kept(tmp_path: Path) -> None:
    blocks = [Block(n, tuple(map(str, range(1500))), drawn(1500, n)) for n in (1, 2, 3)]
    index = CandidateIndex.open(tmp_path / "index", [StoredBlock(block) for block in blocks])
    index.share = 1.0
    query = whole_clips(drawn(1, 5))[0]
    rows = index.rows([query] * 3, None)
    assert sum(map(len, rows)) == COUNTS[-1]
    cosines = torch.cat([whole_clips(block.embeddings) @ query for block in blocks])
    kept = torch.cat([row + 1500 * n for n, row in enumerate(rows)])
    assert torch.isin(cosines.topk(100).indices, kept).all()
    assert not (tmp_path / "index").exists(), "an index of blocks without a file is not saved"

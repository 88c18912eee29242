"""An index of one block finds the clips that are nearest to a text."""

from pathlib import Path

import pytest
import torch
from structalign.core.hashing import sha256_of
from structalign.search.block_index import MIN_CLIPS_FOR_LISTS, BlockIndex, whole_clips
from structalign.train.gallery import Block
from torch import Tensor

pytest.importorskip("faiss")


def clustered(clips: int, seed: int = 0, dim: int = 32) -> Tensor:
    """Unit frames [V, 4, D] near 50 centres."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(50, dim, generator=rng)
    chosen = torch.randint(50, (clips,), generator=rng)
    noise = torch.randn(clips, 4, dim, generator=rng)
    return torch.nn.functional.normalize(centres[chosen][:, None] + 0.5 * noise, dim=-1)


@pytest.mark.parametrize("clips", [300, MIN_CLIPS_FOR_LISTS + 1000])
def test_it_finds_the_nearest_clips(clips: int, tmp_path: Path) -> None:
    block = Block(1, tuple(map(str, range(clips))), clustered(clips))
    file = tmp_path / "x.faiss"
    BlockIndex.build(block).save(file)
    index, whole = BlockIndex.load(file, sha256_of(file)), whole_clips(block.embeddings)
    assert index is not None and len(index) == clips
    for query in whole_clips(clustered(20, 1)):
        nearest = (whole @ query).topk(10).indices
        cosines, rows = index.search(query, 200, 1.0)
        assert torch.isin(nearest, rows).all() and len(rows) == 200
        assert cosines == pytest.approx((whole @ query)[rows], abs=0.02)
        allowed = torch.arange(clips) % 3 == 0
        _, rows = index.search(query, 50, 1.0, allowed)
        assert (rows % 3 == 0).all() and len(rows) == 50


def test_another_file_than_the_one_that_was_written_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "x.faiss"
    assert BlockIndex.load(file, "0" * 64) is None
    file.write_bytes(b"no index")
    assert BlockIndex.load(file, "0" * 64) is None
    assert BlockIndex.load(file, None) is None

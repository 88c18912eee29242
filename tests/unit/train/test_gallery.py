"""A block's embeddings come from a mapped file and are read again after a release."""

from pathlib import Path

import torch
from structalign.core.tensors import map_tensor, save_tensors
from structalign.train.gallery import Block


def test_released_embeddings_are_read_again(tmp_path: Path) -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    save_tensors(tmp_path / "x.safetensors", {"embeddings": values})
    block = Block(1, ("p", "q", "r"), *map_tensor(tmp_path / "x.safetensors", "embeddings"))
    assert torch.equal(block.embeddings, values)
    block.embeddings[0] = 0  # in this process's memory alone, which the release gives back
    block.release()
    assert torch.equal(block.embeddings, values)

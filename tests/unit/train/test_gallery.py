"""A block in a file gives what one in memory gives."""

from pathlib import Path

import torch
from structalign.core.tensors import StoredTensor, save_tensors
from structalign.train.gallery import Block


def test_a_block_in_a_file_gives_what_one_in_memory_gives(tmp_path: Path) -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    save_tensors(tmp_path / "x.safetensors", {"embeddings": values})
    block = Block(1, ("p", "q", "r"), StoredTensor(tmp_path / "x.safetensors", "embeddings"))
    for one in (block, block.in_memory()):
        assert torch.equal(one.embeddings, values)
        assert torch.equal(one.rows(torch.tensor([0, 2])), values[[0, 2]])
        assert torch.equal(torch.cat(list(one.chunks(2))), values)

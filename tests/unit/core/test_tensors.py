"""Mapped tensors are the loaded ones; a damaged file is named."""

import os
from pathlib import Path

import pytest
import torch
from structalign.core.errors import StructAlignError
from structalign.core.tensors import map_tensor, save_tensors


def test_a_mapped_tensor_is_the_stored_one_and_writing_stays_in_memory(tmp_path: Path) -> None:
    values = {"a": torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))}
    save_tensors(tmp_path / "x.safetensors", values)
    mapped, _ = map_tensor(tmp_path / "x.safetensors", "a")
    assert torch.equal(mapped, values["a"])
    mapped[0] = 0
    assert torch.equal(map_tensor(tmp_path / "x.safetensors", "a")[0], values["a"])


def test_a_damaged_file_or_another_type_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_tensors(file, {"b": torch.arange(4)})
    for name in ("b", "c"):
        with pytest.raises(StructAlignError, match="missing or damaged"):
            map_tensor(file, name)
    for body in (b"\xff" * 20, (1 << 40).to_bytes(8, "little") + b"{}", b"", b"[" * 5000):
        file.write_bytes(body)
        with pytest.raises(StructAlignError, match="missing or damaged"):
            map_tensor(file, "a")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(StructAlignError, match="not a file"):
        map_tensor(file, "a")

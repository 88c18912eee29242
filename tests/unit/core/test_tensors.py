"""Tensors read in parts are the stored ones; a damaged or changed file is named."""

import os
from pathlib import Path

import pytest
import torch
from structalign.core.errors import StructAlignError
from structalign.core.hashing import sha256_of
from structalign.core.tensors import StoredTensor, load_tensors, read_tensors, save_tensors

VALUES = torch.randn(30, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": VALUES, "b": torch.arange(4), "c": VALUES[0].clone()})
    return path


def test_a_stored_tensor_is_read_whole_in_rows_and_in_chunks(file: Path) -> None:
    stored = StoredTensor(file, "a", sha256_of(file))
    assert stored.shape == (30, 4, 5) and len(stored) == 30
    assert torch.equal(stored.read(), VALUES) and torch.equal(stored.read(), VALUES)
    assert torch.equal(stored.rows([3, 4, 29]), VALUES[[3, 4, 29]])
    assert stored.rows([]).shape == (0, 4, 5)
    assert torch.equal(torch.cat(list(stored.chunks(7))), VALUES)
    whole = stored.read()
    whole[0] = 0
    assert torch.equal(StoredTensor(file, "a").read(), VALUES)


def test_a_damaged_file_or_another_type_is_refused(file: Path) -> None:
    for name in ("b", "d"):
        with pytest.raises(StructAlignError, match="missing or damaged"):
            StoredTensor(file, name)
    body = file.read_bytes()
    bodies = (b"\xff" * 20, (1 << 40).to_bytes(8, "little") + b"{}", b"", b"[" * 5000, body[:500])
    for changed in bodies:
        file.write_bytes(changed)
        with pytest.raises(StructAlignError, match="missing or damaged"):
            StoredTensor(file, "a")
    file.unlink()
    os.mkfifo(file)
    for read in (lambda: StoredTensor(file, "a"), lambda: load_tensors(file)):
        with pytest.raises(StructAlignError, match="not a file"):
            read()


def test_a_file_that_is_not_as_it_was_written_is_refused(file: Path) -> None:
    sha256, body = sha256_of(file), file.read_bytes()
    file.write_bytes(body[:-1] + b"\x01")
    for read in (
        lambda: StoredTensor(file, "a", sha256).read(), lambda: read_tensors(file, sha256)
    ):  # fmt: skip
        with pytest.raises(StructAlignError, match="it is not as it was written"):
            read()
    assert len(read_tensors(file, None)) == 3


def test_a_file_that_changes_while_it_is_read_is_refused(file: Path) -> None:
    stored = StoredTensor(file, "a")
    file.write_bytes(file.read_bytes()[:300])
    for read in (lambda: stored.rows([1]), stored.read, lambda: list(stored.chunks(9))):
        with pytest.raises(StructAlignError, match="it has changed since it was opened"):
            read()


def test_tensors_in_memory_do_not_change_with_their_file(file: Path) -> None:
    """Those of safetensors are views of the file: truncating it ends the process."""
    read = read_tensors(file, None)
    with file.open("r+b") as changed:
        changed.write(bytes(file.stat().st_size))
        changed.truncate(10)
    assert torch.equal(read["a"], VALUES)

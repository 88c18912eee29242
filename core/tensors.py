"""Tensors in safetensors files: loading one never runs code from it."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import StructAlignError
from .files import is_plain_file, parse_json, share_mode
from .hashing import check_sha256


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, moved to the CPU. Raises OSError if they cannot be written."""
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path
        )
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    share_mode(path)


def halve_where_exact(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as float16 where that is exact, so that ``float`` restores them."""
    short = {name: value.half() for name, value in tensors.items()}
    return {
        name: short[name] if short[name].float().equal(value) else value
        for name, value in tensors.items()
    }


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors. Raises StructAlignError if the file is missing or damaged."""
    try:
        if not is_plain_file(path):
            raise OSError("not a file")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def read_tensors(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Read tensors into memory: those of ``load_tensors`` are views of the file, a memory map.

    Raises StructAlignError if the file is missing or damaged, or its sha256 is another.
    """
    if sha256 is not None:
        check_sha256(path, sha256)
    return {name: value.clone() for name, value in load_tensors(path).items()}


class StoredTensor:
    """A float32 tensor of a file, of a ``shape``, read in whole or in parts.

    Never mapped into memory: a file that shrinks under a map ends the process (SIGBUS). Raises
    StructAlignError if there is no such tensor, or, on reading, if the file has changed since.
    """

    def __init__(self, path: Path, name: str, sha256: str | None = None) -> None:
        self.path, self.sha256 = path, sha256
        try:
            if not is_plain_file(path):
                raise ValueError("not a file")
            with path.open("rb") as file:
                self._version = _version(file.fileno())
                size = int.from_bytes(file.read(8), "little")
                if size > path.stat().st_size:
                    raise ValueError("its header is longer than the file")
                header = parse_json(file.read(size).decode())[name]
            begin, end = header["data_offsets"]
            self.shape = tuple(map(int, header["shape"]))
            if header["dtype"] != "F32" or 4 * math.prod(self.shape) != end - begin:
                raise ValueError(f"{name} is {header['dtype']} of another size than {self.shape}")
            self._begin = 8 + size + begin
            if begin < 0 or self._begin + end - begin > path.stat().st_size:
                raise ValueError("it is shorter than its header says")
        except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise _damaged(path, error) from error

    def __len__(self) -> int:
        return self.shape[0]

    def read(self) -> Tensor:
        """All of it; the first time, the file's sha256 is compared where it is known."""
        if self.sha256 is not None:
            check_sha256(self.path, self.sha256)
            self.sha256 = None  # a later change of the file is noticed
        return self._read_parts([(0, len(self))])

    def rows(self, rows: Sequence[int]) -> Tensor:
        """Some rows, [len(rows), ...]. All are requested from the disk at once."""
        return self._read_parts([(row, row + 1) for row in rows])

    def chunks(self, rows: int) -> Iterator[Tensor]:
        """All rows in order, ``rows`` at a time."""
        for first in range(0, len(self), rows):
            yield self._read_parts([(first, min(first + rows, len(self)))])

    def _read_parts(self, parts: Sequence[tuple[int, int]]) -> Tensor:
        """The rows from a first to a last one (excluded), for each of ``parts``."""
        size = 4 * math.prod(self.shape[1:])
        out = np.empty((sum(last - first for first, last in parts), *self.shape[1:]), np.float32)
        memory, done = out.reshape(-1).view(np.uint8).data, 0
        try:
            with self.path.open("rb") as file:
                descriptor = file.fileno()
                is_as_opened = _version(descriptor) == self._version
                if len(parts) > 1 and hasattr(os, "posix_fadvise"):
                    for first, last in parts:
                        begin, length = self._begin + first * size, (last - first) * size
                        os.posix_fadvise(descriptor, begin, length, os.POSIX_FADV_WILLNEED)
                for first, last in parts:
                    end = done + (last - first) * size
                    while is_as_opened and done < end:  # one call reads at most 2 GiB
                        at = self._begin + last * size - (end - done)
                        count = os.preadv(descriptor, [memory[done:end]], at)
                        is_as_opened, done = count > 0, done + count
        except OSError as error:
            raise _damaged(self.path, error) from error
        if not is_as_opened:
            raise _damaged(self.path, "it has changed since it was opened")
        return torch.from_numpy(out)


def _version(descriptor: int) -> tuple[int, int, int]:
    """Changes whenever an open file does."""
    stat = os.fstat(descriptor)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _damaged(path: Path, why: object) -> StructAlignError:
    return StructAlignError(f"{path} is missing or damaged ({why}); restore it, or make it again")

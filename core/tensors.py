"""Tensors in safetensors files: loading one never runs code from it."""

import math
import mmap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import StructAlignError
from .files import is_plain_file, parse_json, share_mode


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
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StructAlignError(f"{path} is missing or damaged ({error})") from error


def map_tensor(path: Path, name: str) -> tuple[Tensor, mmap.mmap]:
    """A float32 tensor of a file, and its memory map, which can release the pages read so far.

    Writing to the tensor does not change the file. Raises StructAlignError if it is missing,
    damaged, or not float32.
    """
    try:
        if not is_plain_file(path):
            raise ValueError("not a file")
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = parse_json(file.read(size).decode())[name]
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        begin, end = header["data_offsets"]
        shape = tuple(map(int, header["shape"]))
        if header["dtype"] != "F32" or 4 * math.prod(shape) != end - begin:
            raise ValueError(f"{name} is {header['dtype']} of another size than {shape}")
        flat = np.frombuffer(mapped, np.float32, math.prod(shape), 8 + size + begin)
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise StructAlignError(f"{path} is missing or damaged ({error})") from error
    return torch.from_numpy(flat).view(shape), mapped

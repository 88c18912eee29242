"""Tensors in safetensors files: loading them executes nothing."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..runtime.errors import StructAlignError
from .files import share_mode


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, moved to the CPU. Raises OSError when the disk does not take them."""
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path
        )
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    share_mode(path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors. Raises StructAlignError when the file is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StructAlignError(f"{path} is missing or damaged ({error})") from error

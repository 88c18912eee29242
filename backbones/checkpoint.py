"""Tensors of a weights file, by the file's own names. Reading one never runs code from it."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..core.errors import StructAlignError
from .inert_archive import Inert, read_inert

CONTAINERS = ("state_dict", "model_state_dict", "model", "module")  # of the weights in a checkpoint
ERRORS = (
    OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError,
    pickle.UnpicklingError, zipfile.BadZipFile, SafetensorError,
)  # fmt: skip


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, a checkpoint, a pickled model or a TorchScript archive.

    Args:
        path: safetensors or a file of ``torch.save`` or ``torch.jit.save``, by its content.

    Returns:
        On the CPU; floats as float32.

    Raises:
        StructAlignError: the file is none of these, is damaged, or holds no tensor.
    """
    try:
        body = _read(path)
    except ERRORS as error:
        raise StructAlignError(
            f"{path} is not a file of weights that loads without running code, or is damaged "
            f"({type(error).__name__}): give safetensors, a state dict, a checkpoint, or a "
            "TorchScript archive"
        ) from error
    while isinstance(body, Mapping) and (inner := _container(body)) is not None:
        body = inner
    if isinstance(body, Inert):
        state = dict(body.tensors())
    elif isinstance(body, Mapping):
        state = {str(name): value for name, value in body.items() if isinstance(value, Tensor)}
    else:
        state = {}
    if not state:
        raise StructAlignError(f"{path} holds no weights: {_describe(body)}")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{":
        # Copies: the file's own lie at odd addresses, where convolutions round differently.
        return {name: value.clone() for name, value in load_file(path).items()}
    if not zipfile.is_zipfile(path):  # torch.save before 1.6
        return torch.load(path, map_location="cpu", weights_only=True)
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):  # TorchScript
            return read_inert(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # more than tensors and plain values
        return read_inert(path)


def _container(body: Mapping[str, Any]) -> Any:
    inner = (body.get(name) for name in CONTAINERS)
    return next((value for value in inner if isinstance(value, Mapping | Inert)), None)


def _describe(body: Any) -> str:
    if isinstance(body, Mapping):
        return f"a dictionary of {', '.join(sorted(map(str, body))[:5]) or 'nothing'}"
    return f"one object of type {type(body).__name__}"

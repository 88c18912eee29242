"""Tensors of a PyTorch archive, read without running code that it names.

``torch.load(weights_only=True)`` refuses a TorchScript archive (OpenAI's own files), and a
checkpoint with anything but plain values beside the tensors. Here every class and function that a
file names becomes an empty object; only tensors and plain containers are built.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}  # fmt: skip
MODULE_DICTIONARIES = ("_parameters", "_buffers", "_modules")  # of a pickled nn.Module


class Inert:
    """Stands for an object of a class that the file names; keeps its state, and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *args: Any, **kwargs: Any) -> "Inert":
        """Calling a function that the file names does nothing."""
        return Inert()

    def append(self, item: Any) -> None:
        """Ignored: an item of a pickled list."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignored: an item of a pickled mapping."""

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors of a module, and of the modules in it, by dotted names."""
        state = self.state if isinstance(self.state, Mapping) else {}
        held = [state.get(name) for name in MODULE_DICTIONARIES]
        for attributes in held if any(held) else [state]:
            for name, value in attributes.items() if isinstance(attributes, Mapping) else ():
                if isinstance(value, Tensor):
                    yield str(name), value
                elif isinstance(value, Inert):
                    yield from ((f"{name}.{inner}", tensor) for inner, tensor in value.tensors())


def read_inert(path: Path) -> Any:
    """The pickled value of a PyTorch or TorchScript archive: plain values, tensors and ``Inert``.

    Raises:
        OSError, zipfile.BadZipFile, pickle.UnpicklingError and the errors of torch where the file
        is none or is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise pickle.UnpicklingError("it holds no data.pkl")
        return _Reader(archive, names[0]).load()


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        super().__init__(io.BytesIO(archive.read(name)))
        self.archive, self.folder = archive, name.removesuffix(".pkl")
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the file stands for; ``Inert`` for nearly all of them."""
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return self._parameter
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        return type(name, (Inert,), {})  # a class of its own: the file may set its attributes

    def persistent_load(self, pid: Any) -> Tensor:
        """A storage, whose values lie in a file of their own in the archive."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it holds a {kind} of another kind")
        if key not in self.storages:
            body = bytearray(self.archive.read(f"{self.folder}/{key}"))
            values = torch.frombuffer(body, dtype=dtype) if body else torch.empty(0, dtype=dtype)
            self.storages[key] = values[:count]
        return self.storages[key]

    def _tensor(
        self, storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any
    ) -> Tensor:
        return storage.as_strided(tuple(size), tuple(stride), offset)

    def _parameter(self, data: Tensor, *_: Any) -> Tensor:
        return data

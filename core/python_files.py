"""A Python file of the user's own as a module, and the one class that a module defines."""

import functools
import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from .errors import StructAlignError

Base = TypeVar("Base")


def python_file_hash(path: Path, kind: str) -> str:
    """The sha256 of a method's or dataset's Python file (``kind``). Raises StructAlignError."""
    if not path.is_file():
        raise StructAlignError(f"no file {path}; --{kind} takes a name or a .py file")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_python_file(path: Path, kind: str) -> ModuleType:
    """Run a Python file, once for each version of it. Raises StructAlignError if it fails."""
    return _load(path, kind, python_file_hash(path, kind))


@functools.cache
def _load(path: Path, kind: str, file_hash: str) -> ModuleType:
    name = f"structalign_{kind}_{file_hash[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}"
        raise StructAlignError(f"{kind} file {path} does not import ({what})") from error
    return module


def only_subclass(module: ModuleType, base: type[Base]) -> type[Base]:
    """The one subclass of ``base`` in a module. Raises StructAlignError for none, or several."""
    classes = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, base) and kind.__module__.startswith(module.__name__)
    ]
    leaves = [kind for kind in classes if not any(kind in sub.__mro__[1:] for sub in classes)]
    if len(leaves) != 1:
        names = ", ".join(kind.__name__ for kind in leaves) or "none"
        raise StructAlignError(
            f"{module.__file__} must define one subclass of {base.__name__}; it has {names}"
        )
    return leaves[0]

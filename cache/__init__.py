"""The contract between extraction and training: what a cached token means, and where it is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..core.errors import StructAlignError

if TYPE_CHECKING:
    from .catalog import Catalog, Clip
    from .reader import FeatureCache
    from .root import CacheRoot
    from .spec import CacheSpec

__all__ = ["CacheRoot", "CacheSpec", "Catalog", "Clip", "FeatureCache", "StructAlignError"]
_FILES = {
    "CacheRoot": "root", "CacheSpec": "spec", "Catalog": "catalog", "Clip": "catalog",
    "FeatureCache": "reader",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Names are loaded on demand: the command line must not import Zarr to print its help."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FILES[name]}", __name__), name)

"""The contract between extraction and training: what a cached token means, and where it is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cache.errors import StructAlignError

if TYPE_CHECKING:
    from cache.catalog import Catalog, Clip
    from cache.root import CacheRoot
    from cache.spec import CacheSpec
    from cache.store import FeatureCache

__all__ = ["CacheRoot", "CacheSpec", "Catalog", "Clip", "FeatureCache", "StructAlignError"]
_ROOMS = {"CacheRoot": "root", "CacheSpec": "spec", "Catalog": "catalog", "Clip": "catalog", "FeatureCache": "store"}


def __getattr__(name: str) -> Any:
    """Names are loaded when they are asked for: the command line must not import Zarr to print its help."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'cache' has no attribute '{name}'")
    return getattr(import_module(f"cache.{_ROOMS[name]}"), name)

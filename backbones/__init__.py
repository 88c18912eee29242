"""Frozen CLIP backbones, cut in two: the stem before the cut, the tail and text tower after it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backbone import is_accepted, load_backbone, preprocessing_of

__all__ = ["is_accepted", "load_backbone", "preprocessing_of"]


def __getattr__(name: str) -> Any:
    """Names are loaded on demand: a worker must not import open_clip."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".backbone", __name__), name)

"""StructAlign."""

from .method import StructAlign

__all__ = ["StructAlign"]

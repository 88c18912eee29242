"""StructAlign (SIGIR 2026): ``method.py`` as described, ``official.py`` as its code deviates."""

from .method import StructAlign

__all__ = ["StructAlign"]

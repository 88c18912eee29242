"""StructAlign (SIGIR 2026): ``method.py`` as described, ``released.py`` with its code's slips."""

from .released import StructAlignWithSlips

__all__ = ["StructAlignWithSlips"]

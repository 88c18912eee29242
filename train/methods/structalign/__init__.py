"""StructAlign (SIGIR 2026): ``method.py`` as described, ``official.py`` as its code deviates."""

from . import official
from .method import StructAlign, StructAlignOptions

__all__ = ["StructAlign", "class_for"]


def class_for(options: StructAlignOptions) -> type[StructAlign]:
    """The class that runs: the official code's where an option asks for a deviation of it."""
    return official.OfficialStructAlign if options.deviates else StructAlign

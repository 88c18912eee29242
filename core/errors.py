"""The error that a person reads."""

import difflib
from collections.abc import Iterable


class StructAlignError(Exception):
    """Something the user can mend: the message says what, where, and what to do, in one line."""


def unknown(kind: str, name: str, known: Iterable[str]) -> StructAlignError:
    """The error for an unknown name: it gives the nearest known one, and all when they are few."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    listing = f" known: {', '.join(names)}" if len(names) <= 12 else ""
    hint = f" did you mean '{near[0]}'?" if near else ""
    return StructAlignError(f"unknown {kind} '{name}';{hint}{listing}")

"""Errors that the user can fix."""

import difflib
from collections.abc import Iterable


class StructAlignError(Exception):
    """Something the user can fix: the message says what, where, and what to do, in one line."""


def unknown(kind: str, name: str, known: Iterable[str]) -> StructAlignError:
    """The error for an unknown name, with the nearest known one, and all if they are few."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    hints = [f"did you mean '{near[0]}'?"] if near else []
    if len(names) <= 12:
        hints.append(f"known: {', '.join(names)}")
    hint = f"; {' '.join(hints)}" if hints else ""
    return StructAlignError(f"unknown {kind} '{name}'{hint}")

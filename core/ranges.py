"""Types and ranges of settings and options, and the dataclass fields that declare options."""

import math
import operator
import types
from dataclasses import Field, field, fields
from typing import Any, Literal, Union, get_args, get_origin

from .errors import StructAlignError

LARGEST = 2**63 - 1  # what files, seeds and numpy hold
HOLDS = {
    "above": operator.gt, "at_least": operator.ge, "below": operator.lt, "at_most": operator.le,
}  # fmt: skip


def check_range(name: str, value: float | None, **bounds: float) -> None:
    """Raise StructAlignError unless ``value`` lies within the bounds; None passes, NaN does not."""
    if value is not None and not all(HOLDS[word](value, bounds[word]) for word in bounds):
        wanted = " and ".join(f"{word.replace('_', ' ')} {b:g}" for word, b in bounds.items())
        raise StructAlignError(f"{name}={value} must be {wanted}")


def whole_number(text: str) -> int:
    """A whole number from 0 on. Raises ValueError, also where it is above ``LARGEST``."""
    if not text.isdecimal() or len(text) > 19 or int(text) > LARGEST:
        raise ValueError(f"{text!r} is not a whole number from 0 to {LARGEST}")
    return int(text)


def convert(name: str, value: Any, kind: Any) -> Any:
    """A value as its annotated type: YAML reads 1e-3 as text, so numbers may come as text.

    Raises StructAlignError for a value of another kind, or a number that is not finite.
    """
    if get_origin(kind) in (Union, types.UnionType):
        kinds = get_args(kind)
        plain = [option for option in kinds if isinstance(option, type)]
        words = [word for option in kinds for word in get_args(option)]
        if value in words or (isinstance(value, tuple(plain)) and not isinstance(value, bool)):
            return value
        kind = next(option for option in kinds if option is not types.NoneType)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = ", ".join(map(str, get_args(kind)))
            raise StructAlignError(f"{name}={value!r}: choose one of {choices}")
        return value
    if kind not in (bool, str, int, float) or (kind in (str, bool) and isinstance(value, kind)):
        return value
    try:
        if kind is float and not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
        if kind is int and not isinstance(value, bool) and int(value) == float(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    wanted = {bool: "true or false", str: "text"}.get(kind, "a number")
    raise StructAlignError(f"{name}={value!r} is not {wanted}")


def option(default: Any, text: str | None = None, **bounds: float) -> Any:
    """A dataclass field with bounds by keyword; with a help text it is a command's option."""
    return field(default=default, metadata=bounds if text is None else {"help": text, **bounds})


def bounds_of(declared: Field[Any]) -> dict[str, float]:
    """The bounds of an option field, as keywords of ``check_range``."""
    return {name: declared.metadata[name] for name in HOLDS if name in declared.metadata}


def check_fields(settings: Any) -> None:
    """``check_range`` of every field of a dataclass, named as an option or as a setting."""
    for declared in fields(settings):
        is_option = "help" in declared.metadata
        name = f"--{declared.name.replace('_', '-')}" if is_option else f"setting {declared.name}"
        check_range(name, getattr(settings, declared.name), **bounds_of(declared))

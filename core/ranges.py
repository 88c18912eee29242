"""Range checks of settings and options, and the dataclass fields that declare options."""

import operator
from dataclasses import Field, field, fields
from typing import Any

from .errors import StructAlignError

HOLDS = {
    "above": operator.gt, "at_least": operator.ge, "below": operator.lt, "at_most": operator.le,
}  # fmt: skip


def check_range(name: str, value: float | None, **bounds: float) -> None:
    """Raise StructAlignError unless ``value`` lies within the bounds; None passes, NaN does not."""
    if value is not None and not all(HOLDS[word](value, bounds[word]) for word in bounds):
        wanted = " and ".join(f"{word.replace('_', ' ')} {b:g}" for word, b in bounds.items())
        raise StructAlignError(f"{name}={value} must be {wanted}")


def check_settings(settings: object, *names: str, **bounds: float) -> None:
    """``check_range`` of some attributes of a settings object, named as settings."""
    for name in names:
        check_range(f"setting {name}", getattr(settings, name), **bounds)


def option(default: Any, text: str, **bounds: float) -> Any:
    """A dataclass field that is an option: its default, help text, and bounds by keyword."""
    return field(default=default, metadata={"help": text, **bounds})


def bounds_of(declared: Field[Any]) -> dict[str, float]:
    """The bounds of an option field, as keywords of ``check_range``."""
    return {name: declared.metadata[name] for name in HOLDS if name in declared.metadata}


def check_options(options: Any) -> None:
    """``check_range`` of every field of a dataclass that has bounds, named as an option."""
    for declared in fields(options):
        name = f"--{declared.name.replace('_', '-')}"
        check_range(name, getattr(options, declared.name), **bounds_of(declared))

"""Range checks of settings and options, and the dataclass fields that declare options."""

from dataclasses import Field, field, fields
from typing import Any

from .errors import StructAlignError

BOUNDS = ("above", "at_least", "below", "at_most")


def check_range(
    name: str,
    value: float | None,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> None:
    """Raise StructAlignError unless ``value`` lies within the bounds; None passes, NaN does not."""
    if value is None:
        return
    bounds = {
        "above": (above, lambda bound: value > bound),
        "at least": (at_least, lambda bound: value >= bound),
        "below": (below, lambda bound: value < bound),
        "at most": (at_most, lambda bound: value <= bound),
    }
    given = {word: (bound, holds) for word, (bound, holds) in bounds.items() if bound is not None}
    if not all(holds(bound) for bound, holds in given.values()):
        wanted = " and ".join(f"{word} {bound:g}" for word, (bound, _) in given.items())
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
    return {name: declared.metadata[name] for name in BOUNDS if name in declared.metadata}


def check_options(options: Any) -> None:
    """``check_range`` of every field of a dataclass that has bounds, named as an option."""
    for declared in fields(options):
        name = f"--{declared.name.replace('_', '-')}"
        check_range(name, getattr(options, declared.name), **bounds_of(declared))

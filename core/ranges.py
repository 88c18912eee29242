"""Range checks of settings and options: one error line for all of them."""

from .errors import StructAlignError


def check_range(
    name: str,
    value: float | None,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> None:
    """Check that ``value`` lies within the bounds; None, a value that is not given, passes.

    Raises:
        StructAlignError: it does not, or is not a number (NaN).
    """
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

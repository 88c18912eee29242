"""Options of the command line that several commands share."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from .configs import parse_yaml
from .defaults import DEVICE
from .errors import StructAlignError
from .ranges import bounds_of, whole_number

Decorator = Callable[[Any], Any]
PATH, POSITIVE = click.Path(path_type=Path), click.IntRange(min=1)
SHARE = click.FloatRange(0, 1)


def opt(*names: str, **settings: Any) -> Decorator:
    """A click option that shows its default."""
    return click.option(*names, show_default=settings.get("default") is not None, **settings)


class Parsed(click.ParamType[Any]):
    """Text that ``parse`` reads; where it raises ValueError, ``hint`` says what to give."""

    def __init__(self, name: str, parse: Callable[[str], Any], hint: str) -> None:
        self.name, self.parse, self.hint = name, parse, hint

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """What ``parse`` returns. Fails with a usage error."""
        try:
            return self.parse(str(value))
        except ValueError:
            self.fail(f"{value!r}: give {self.hint}", param, ctx)
        except StructAlignError as error:
            self.fail(str(error), param, ctx)


def _task_sizes(text: str) -> int | tuple[int, ...]:
    sizes = tuple(map(int, text.split(",")))
    if min(sizes) < 1:
        raise ValueError
    return sizes if "," in text else sizes[0]


def _number_or(words: list[str], text: str) -> int | str:
    return text if text in words else whole_number(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(whole_number(part.strip()) for part in text.split(","))


def _values(text: str) -> tuple[str, tuple[str, ...]]:
    key, _, values = text.partition("=")
    if not key or not all(values.split(",")):
        raise ValueError
    return key, tuple(values.split(","))


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise ValueError
    return key.strip(), parse_yaml(value, repr(text))


TASKS = Parsed("K|SIZES", _task_sizes, "a whole number above 0, or sizes such as 3,3,2")
NUMBERS = Parsed("N,N,...", _numbers, "whole numbers, such as 0,1,2")
GRID = Parsed("KEY=A,B,C", _values, "it as KEY=A,B,C")
SETTING = Parsed("KEY=VALUE", _setting, "it as KEY=VALUE")
root = opt("--cache-root", type=PATH, help="Folder of caches and generated videos.  "
                  "[default: STRUCTALIGN_CACHE, else ~/.cache/structalign]")  # fmt: skip
runs = opt("--runs", type=PATH, help="Folder of runs.  [default: STRUCTALIGN_RUNS, else ./runs]")
json = opt("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
device = opt("--device", type=click.Choice(["auto", "cpu", "cuda"]), default=DEVICE,
             help="Where to compute.")  # fmt: skip
changes = partial(opt, "--set", "pairs", type=SETTING, multiple=True)
order = opt("--order", help="Order of the categories: shuffled:SEED, or a file with one per line.")
ray = opt("--ray-address", help="Join this Ray cluster instead of starting one.")


def options_of(*kinds: type[Any], **metavars: str) -> Decorator:
    """An option for each field with a help text, spelt as in ``metavars``; the first of a name."""
    decorators: dict[str, Decorator] = {}
    for kind in kinds:
        hints = get_type_hints(kind)
        for field in fields(kind):
            if "help" in field.metadata and field.name not in decorators:
                decorators[field.name] = opt(
                    f"--{field.name.replace('_', '-')}",
                    type=_click_type(hints[field.name], bounds_of(field)),
                    metavar=metavars.get(field.name),
                    default=field.default,
                    is_flag=hints[field.name] is bool,
                    help=field.metadata["help"],
                )

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators.values()):
            command = decorator(command)
        return command

    return decorate


def _click_type(hint: Any, bounds: dict[str, float]) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if get_origin(hint) is Literal:
        return click.Choice(kinds)
    if Path in kinds:
        return PATH
    kind = kinds[0] if kinds else hint
    if words := [word for kind in kinds[1:] for word in get_args(kind)]:
        hint = f"a whole number, or {' or '.join(words)}"
        return Parsed("|".join(["N", *words]), lambda text: _number_or(words, text), hint)
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if not bounds:
        return kind
    interval: Any = click.IntRange if kind is int else click.FloatRange
    return interval(
        min=bounds.get("at_least", bounds.get("above")), min_open="above" in bounds,
        max=bounds.get("at_most", bounds.get("below")), max_open="below" in bounds,
    )  # fmt: skip

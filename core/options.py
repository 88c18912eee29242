"""Options of the command line that several commands share."""

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from json import dumps
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from .console import printable

Decorator = Callable[[Any], Any]
PATH, POSITIVE = click.Path(path_type=Path), click.IntRange(min=1)
SHARE = click.FloatRange(0, 1)


def opt(*names: str, **settings: Any) -> Decorator:
    """A click option that shows its default."""
    return click.option(*names, show_default=settings.get("default") is not None, **settings)


class TaskSizes(click.ParamType[int | tuple[int, ...]]):
    """How many tasks, ``10``, or the size of each, ``3,3,2``."""

    name = "K|SIZES"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | tuple[int, ...]:
        """Whole numbers above 0."""
        try:
            sizes = tuple(map(int, str(value).split(",")))
        except ValueError:
            sizes = (0,)
        if min(sizes) < 1:
            self.fail(f"{value!r}: give a whole number above 0, or sizes such as 3,3,2", param, ctx)
        return sizes if "," in str(value) else sizes[0]


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers from 0 on with commas between, ``0,1,2``."""

    name = "N,N,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Checked one by one."""
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdigit() for part in parts):
            self.fail(f"{value!r}: give whole numbers, such as 0,1,2", param, ctx)
        return tuple(map(int, parts))


class Values(click.ParamType[tuple[str, tuple[str, ...]]]):
    """A setting and its values, ``key=a,b,c``."""

    name = "KEY=A,B,C"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, tuple[str, ...]]:
        """The key, and the values as they are written."""
        key, equals, values = str(value).partition("=")
        if not key or not equals or not all(values.split(",")):
            self.fail(f"{value!r}: give it as KEY=A,B,C", param, ctx)
        return key, tuple(values.split(","))


class Setting(click.ParamType[tuple[str, Any]]):
    """A setting and its value, read as YAML reads it."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """The key, and a number, a truth value, null or text."""
        import yaml

        key, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{value}: give it as KEY=VALUE", param, ctx)
        return key.strip(), yaml.safe_load(text)


class NameOrFile(click.ParamType[str]):
    """One of some names, or the path of a Python file of the user's own."""

    name = "name"

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def get_metavar(self, param: Any, ctx: Any) -> str:
        """The names, for the help text."""
        return f"[{'|'.join(self.names)}|FILE.py]"


TASKS, NUMBERS, GRID, SETTING = TaskSizes(), Numbers(), Values(), Setting()
root = opt("--cache-root", type=PATH, help="Where caches and generated videos live.  "
                  "[default: STRUCTALIGN_CACHE, else ~/.cache/structalign]")  # fmt: skip
runs = opt("--runs", type=PATH, help="Where runs live.  [default: STRUCTALIGN_RUNS or runs]")
json = opt("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
device = opt("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
                    help="Where to compute.")  # fmt: skip
changes = opt("--set", "pairs", type=SETTING, multiple=True, help="Change a setting; repeats.")
order = opt("--order", help="Order of the categories: shuffled:SEED, or a file with one a line.")
ray = opt("--ray-address", help="Join this Ray cluster instead of starting one.")


def options_of(*kinds: type[Any], **types: Any) -> Decorator:
    """An option for every field of some dataclasses: its name, type, default and help.

    Args:
        kinds: dataclasses whose fields have a ``help`` in their metadata, and ``range``, the least
            and the greatest number, where there are such; or whose docstrings have an ``Args``
            section with one line per field. Where several have a field of one name, the first
            describes it.
        types: click types by field name, where the annotation does not say enough.
    """
    decorators: dict[str, Decorator] = {}
    for kind in kinds:
        helps = dict(re.findall(r"^ +(\w+): (.+)$", kind.__doc__ or "", re.MULTILINE))
        hints = get_type_hints(kind)
        for field in fields(kind):
            bounds = field.metadata.get("range")
            help_text = field.metadata.get("help") or helps[field.name]
            option = opt(
                f"--{field.name.replace('_', '-')}",
                type=types.get(field.name)
                or (click.FloatRange(*bounds) if bounds else _click_type(hints[field.name])),
                default=field.default,
                is_flag=hints[field.name] is bool,
                help=help_text[:1].upper() + help_text[1:],
            )
            decorators.setdefault(field.name, option)

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators.values()):
            command = decorator(command)
        return command

    return decorate


def _click_type(hint: Any) -> Any:
    options = [kind for kind in get_args(hint) if kind is not type(None)]
    if get_origin(hint) is Literal:
        return click.Choice(options)
    if Path in options:
        return PATH
    return options[0] if options else hint


def print_result(body: dict[str, Any], text: str, as_json: bool) -> None:
    """One JSON object, or text for a person."""
    click.echo(dumps(body) if as_json else printable(text))

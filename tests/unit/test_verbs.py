"""Python and the command line have the same verbs with the same defaults."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structalign
from structalign import verbs
from structalign.cli import main

ROOT = Path(__file__).parents[2]
COMMANDS: dict[str, Callable[..., Any]] = {
    "append RUN --cache CACHE": verbs.append, "eval": verbs.evaluate, "report": verbs.report,
    "search QUERY": verbs.search, "sweep --methods finetune --tasks 2": verbs.sweep,
    "train --tasks 2": verbs.train,
}  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_an_option_has_the_default_of_the_functions_parameter(line: str) -> None:
    name, *arguments = line.split()
    values = main.commands[name].make_context(name, list(arguments)).params
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(COMMANDS[line]).parameters.items()
        if parameter.default is not parameter.empty and f"--{name}" not in arguments
    }
    shared = values.keys() & defaults.keys()
    assert {key: values[key] or None for key in shared} == {
        key: defaults[key] or None for key in shared
    }


def test_the_package_offers_verbs_whose_names_are_not_its_folders() -> None:
    names = set(structalign.__all__) - {"__version__"}
    assert {name: getattr(structalign, name) for name in names} == {
        name: getattr(verbs, name) for name in names
    }
    assert {name for name in verbs.__all__ if not (ROOT / name).is_dir()} == names


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'structalign' has no attribute 'tain'"):
        _ = structalign.tain

"""The command line and the JSON it leaves are a contract: options and keys are frozen here."""

import click
import pytest
from structalign.cli import main

COMMON = "--cache-root --json"
OPTIONS = {
    "extract": "--dataset --root --splits --seed --frames --views --cut --adapted-blocks "
    "--backbone --pretrained --device --workers --ray-address --engine --limit --max-bad "
    "--retry-bad --decode-timeout",
    "search": "run_and_query --top --cache --thumbnails",
    "report": "given --out",
    "train": "--cache --tasks --order --method --seed --until --device --out --set --overwrite "
    "--runs",
    "append": "run --cache --tasks --order --device",
    "eval": "run --cache --device --runs",
    "sweep": "--methods --seeds --tasks --orders --grid --choose --caches --set --out "
    "--ray-address --device --runs",
    "serve": "given --cache --host --port --token --device",
    "demo": "--seed --tasks --conflict --out --runs",
    "cache ls": "",
    "cache info": "reference",
    "cache verify": "reference --deep",
    "cache export": "file reference",
    "cache import": "file",
    "cache rm": "reference",
}
FROZEN = {verb: set(f"{options} {COMMON}".split()) for verb, options in OPTIONS.items()}
FROZEN["serve"] -= {"--json"}  # it answers by HTTP


def names(command: click.Command) -> set[str]:
    """Long options and arguments of a command."""
    found: set[str] = set()
    for parameter in command.params:
        found |= (
            {name for name in parameter.opts if name.startswith("--")}
            if isinstance(parameter, click.Option)
            else {str(parameter.name)}
        )
    return found


def commands() -> dict[str, click.Command]:
    """Every command by its name, those of the cache as "cache ls"."""
    cache = main.commands["cache"]
    assert isinstance(cache, click.Group)
    plain = {name: command for name, command in main.commands.items() if name != "cache"}
    return {**plain, **{f"cache {name}": command for name, command in cache.commands.items()}}


@pytest.mark.parametrize("verb", FROZEN)
def test_options(verb: str) -> None:
    assert names(commands()[verb]) >= FROZEN[verb]


def test_every_verb_is_frozen() -> None:
    assert set(commands()) == set(FROZEN)


def test_every_option_has_help() -> None:
    for verb, command in commands().items():
        assert command.help, verb
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (verb, parameter.name)

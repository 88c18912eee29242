"""The command line and the JSON it leaves are a contract: options and keys are frozen here."""

import click
import pytest

from cli import main

OPTIONS = {
    "extract": {
        "--dataset", "--root", "--seed", "--frames", "--views", "--cut", "--adapted-blocks", "--backbone", "--pretrained", "--device", "--workers",
        "--ray-address", "--engine", "--limit", "--max-bad", "--retry-bad", "--decode-timeout", "--cache-root", "--json",
    },
    "train": {"--cache", "--tasks", "--method", "--seed", "--device", "--out", "--set", "--overwrite", "--runs", "--cache-root", "--json"},
    "eval": {"run", "--cache", "--device", "--runs", "--cache-root", "--json"},
    "sweep": {"--methods", "--seeds", "--tasks", "--caches", "--set", "--out", "--ray-address", "--device", "--runs", "--cache-root", "--json"},
    "demo": {"--seed", "--tasks", "--out", "--runs", "--cache-root", "--json"},
}  # fmt: skip


@pytest.mark.parametrize("verb", OPTIONS)
def test_options(verb: str) -> None:
    found: set[str] = set()
    for parameter in main.commands[verb].params:
        found |= {name for name in parameter.opts if name.startswith("--")} if isinstance(parameter, click.Option) else {str(parameter.name)}
    assert found >= OPTIONS[verb]


def test_every_verb_is_frozen() -> None:
    assert set(main.commands) == set(OPTIONS)


def test_every_option_has_help() -> None:
    for verb, command in main.commands.items():
        assert command.help, verb
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (verb, parameter.name)

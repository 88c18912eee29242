"""The command line and the JSON it leaves are a contract: options and keys are frozen here."""

import click
import pytest
from structalign.cli import main

COMMON = "--cache-root --json"
OPTIONS = {
    "extract": "--dataset --root --splits --seed --frames --views --cut --grid "
    "--adapted-blocks "
    "--backbone --pretrained --sampling --device --workers --ray-address --engine --limit "
    "--max-bad --retry-bad --decode-timeout",
    "search": "run_and_query --top --cache --thumbnails",
    "report": "given --out",
    "train": "--cache --tasks --order --method --seed --until --device --out --set --overwrite "
    "--runs",
    "append": "run --cache --tasks --order --device",
    "eval": "run --cache --device --runs",
    "sweep": "--methods --seeds --tasks --orders --grid --choose --caches --set --out "
    "--ray-address --device --runs",
    "serve": "given --cache --host --port --token --device",
    "verify": "run",
    "demo": "--seed --tasks --conflict --out --runs",
    "cache ls": "",
    "cache info": "reference",
    "cache verify": "reference --deep",
    "cache export": "file reference",
    "cache import": "file",
    "cache derive": "reference --cut --grid --device",
    "cache rm": "reference --yes --runs",
}
FROZEN = {verb: set(f"{options} {COMMON}".split()) for verb, options in OPTIONS.items()}
FROZEN["serve"] -= {"--json"}  # it answers by HTTP
FROZEN["verify"] -= {"--cache-root"}


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


def test_every_command_and_option_has_a_whole_sentence_of_help() -> None:
    """Two texts once ended in the middle of their sentence."""
    texts: dict[tuple[str, ...], str | None] = {}
    for verb, command in commands().items():
        texts[(verb,)] = command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                texts[(verb, str(parameter.name))] = parameter.help
    assert len(texts) > 80
    unfinished = {name: text for name, text in texts.items() if not is_whole(text or "")}
    assert not unfinished


def is_whole(text: str) -> bool:
    """Whether a help text is a sentence to its end: a default in brackets may follow it."""
    sentence = text.partition("  [default: ")[0]
    balanced = all(text.count(left) == text.count(right) for left, right in ("()", "[]"))
    return sentence[:1].isupper() and sentence.endswith(".") and balanced

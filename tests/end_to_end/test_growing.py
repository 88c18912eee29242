"""A finished run goes on with other caches, as if all had been one from the start."""

from pathlib import Path

import pytest
from helpers.cli import CHANGES, EXTRACT, Cli, without_seconds, write_manifest
from helpers.kills import bytes_of
from structalign.extract.datasets.demo.files import write_clip
from structalign.extract.datasets.demo.world import WorldClip, build_world

SETTINGS = tuple(part for one in CHANGES.split() for part in ("--set", one))
TEN = 10


def clips_of(names: list[str], world: list[WorldClip], train: int = 2) -> list[WorldClip]:
    """Two test clips of each category, and some training clips."""
    chosen = []
    for name in names:
        for split, count in (("train", train), ("test", 2)):
            mine = [c for c in world if c.category == name and c.split == split]
            chosen += mine[:count]
    return chosen


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cli, dict[str, str]]:
    """Categories A to J in one cache, and A to F and G to J in two."""
    folder = tmp_path_factory.mktemp("ten")
    world = build_world(11)
    names = list(dict.fromkeys(clip.category for clip in world))[:TEN]
    chosen = clips_of(names, world)
    for clip in chosen:
        write_clip(clip, folder)
    cli, found = Cli(tmp_path_factory.mktemp("growing")), {}
    for cache, own in (("all", names), ("first", names[:6]), ("second", names[6:])):
        file = folder / f"{cache}.csv"
        write_manifest(file, [clip for clip in chosen if clip.category in own])
        body = cli.json(*EXTRACT, "--root", folder, "--splits", file, "--cut", "4")
        found[cache] = body["path"]
    return cli, found


def figures(results: dict[str, object]) -> object:
    """What does not say which caches it is from."""
    kept = ("matrix", "stages", "figures", "categories", "final", "zero_shot", "coverage")
    return without_seconds({key: results[key] for key in kept})


@pytest.mark.slow
@pytest.mark.parametrize("method", ["structalign", "finetune"])
def test_two_caches_one_after_the_other_equal_one(
    caches: tuple[Cli, dict[str, str]], tmp_path: Path, method: str
) -> None:
    cli, found = caches
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    common = ("--method", method, *SETTINGS)
    expected = cli.json("train", "--cache", found["all"], "--tasks", "5", *common, "--out", whole)
    begin = ("train", "--cache", found["first"], "--tasks", "3", *common, "--out", grown)
    begun = cli.json(*begin)
    assert begun["tasks"] == 3
    append = ("append", grown, "--cache", found["second"], "--tasks", "2")
    results = cli.json(*append)
    assert bytes_of(grown, "tasks/*/*") == bytes_of(whole, "tasks/*/*")
    assert figures(results) == figures(expected)
    assert figures(cli.json("eval", grown, "--again")) == figures(expected)
    again = cli(*append)
    assert "is learnt already" in again.stderr
    assert cli.json(*begin)["tasks"] == 5  # the run that began so, with what came since
    searched = cli.json("search", grown, "a red star", "--top", "99")
    assert searched["clips"] == 40
    assert len({hit["cache"] for hit in searched["results"]}) == 2

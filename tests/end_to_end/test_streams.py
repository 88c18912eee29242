"""A stream has no length: what a task does is the same however many come after it."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.cli import CHANGES, EXTRACT, Cli, without_seconds
from helpers.kills import bytes_of
from structalign.benchmarks.parts.demo_manifest import write_manifest
from structalign.extract.datasets.demo.files import write_clip
from structalign.extract.datasets.demo.world import build_world

SETTINGS = tuple(part for one in CHANGES.split() for part in ("--set", one))
FIVE = ("train", "--tasks", "5", *SETTINGS)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A cache of five categories, three training and two test clips each."""
    folder = tmp_path_factory.mktemp("five")
    world = build_world(11)
    chosen = []
    for name in list(dict.fromkeys(clip.category for clip in world))[:5]:
        for split, count in (("train", 3), ("test", 2)):
            mine = [c for c in world if c.category == name and c.split == split]
            chosen += mine[:count]
    for clip in chosen:
        write_clip(clip, folder)
    write_manifest(folder / "manifest.csv", chosen)
    cli = Cli(tmp_path_factory.mktemp("streams"))
    cli.json(*EXTRACT, "--root", folder, "--cut", "4")
    return cli


def stages(run: Path) -> list[object]:
    """What was measured, without the digest, which is of the seconds too."""
    bodies = [json.loads(file.read_text()) for file in sorted((run / "stages").glob("*.json"))]
    return [without_seconds({**body, "sha256": None}) for body in bodies]


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    ["structalign", "structalign-released:batch=3", "framefusionmoe", "moe_adapter:experts=4"],
)
def test_the_first_three_of_five_are_the_same_bytes_as_three_alone(
    five: Cli, tmp_path: Path, method: str
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    results = five.json(*FIVE, "--method", method, "--out", whole)
    stopped = five.json(*FIVE, "--method", method, "--until", "3", "--out", part)
    assert (results["tasks"], stopped["tasks"]) == (5, 3)
    assert [len(row) for row in stopped["matrix"]["r1"]] == [3] * 4
    files = bytes_of(part, "tasks/*/*")
    assert len(files) == 3 * len(bytes_of(part, "tasks/01/*"))
    assert files == {k: v for k, v in bytes_of(whole, "tasks/*/*").items() if k in files}
    assert stages(part) == stages(whole)[:3]
    for row, longer in zip(stopped["matrix"]["r1"], results["matrix"]["r1"], strict=False):
        assert row == longer[:3]
    resumed = five.json(*FIVE, "--method", method, "--out", part)
    assert without_seconds(resumed) == without_seconds(results)
    assert bytes_of(part, "tasks/*/*") == bytes_of(whole, "tasks/*/*")


@pytest.mark.slow
def test_evaluating_a_stopped_run_and_going_on_from_it(five: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stopped = five.json(*FIVE, "--until", "2", "--out", run)
    assert without_seconds(five.json("eval", run, "--again")) == without_seconds(stopped)
    shutil.rmtree(run / "stages")
    resumed = five.json(*FIVE, "--until", "3", "--out", run)
    assert resumed["tasks"] == 3 and len(stages(run)) == 3
    assert resumed["matrix"]["r1"][2][:2] == stopped["matrix"]["r1"][2]
    assert five.json(*FIVE, "--until", "1", "--out", run)["tasks"] == 3  # nothing is undone
    found = five.json("search", run, "a red star", "--top", "99")
    assert found["clips"] == 15  # of the three tasks that were learnt

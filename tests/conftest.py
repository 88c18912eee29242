"""Real videos and a real cache, small enough for every test to use."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers.cli import EXTRACT, Cli
from helpers.ray_head import UNGUARDED, ray_head
from structalign.benchmarks.parts.demo_manifest import write_manifest
from structalign.extract.datasets.demo.files import write_clip
from structalign.extract.datasets.demo.world import WorldClip, build_world

CATEGORIES, TRAIN, TEST = 4, 4, 4

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many threads as cores in each of as many processes wait for each other, and busily.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process, for their fixtures, and begin with the longest files.

    Tests that start Ray are one group: two Rays at once wait for each other. A slow test counts
    for ten seconds, or for as many as its mark says.
    """
    takes: Counter[str] = Counter()
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem.removeprefix("test_")))
        if slow := item.get_closest_marker("slow"):
            takes[_group(item)] += slow.args[0] if slow.args else 10
    items.sort(key=lambda item: -takes[_group(item)])


def _group(item: pytest.Item) -> str:
    """The tests that run one after the other, in one process."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else ""


@pytest.fixture(scope="session")
def world_clips() -> list[WorldClip]:
    """A few clips of a demo world.

    4 categories, 4 training and 4 test clips each (two of them motion twins).
    """
    world = build_world(7)
    names = list(dict.fromkeys(clip.category for clip in world))[:CATEGORIES]
    chosen = []
    for name in names:
        for split, count in (("train", TRAIN), ("test", TEST)):
            chosen += [clip for clip in world if clip.category == name and clip.split == split][
                :count
            ]
    return chosen


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, world_clips: list[WorldClip]) -> Path:
    """A folder with those clips as mp4 files and a manifest of them. Not to be changed."""
    folder = tmp_path_factory.mktemp("videos")
    for clip in world_clips:
        write_clip(clip, folder)
    write_manifest(folder / "manifest.csv", world_clips)
    return folder


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line of this test's own."""
    return Cli(tmp_path)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Cli:
    """A command line whose cache root holds the cache of ``videos``. Read it; do not change it."""
    shared = Cli(tmp_path_factory.mktemp("shared"))
    shared.json(*EXTRACT, "--root", videos, "--cut", "4")
    return shared


@pytest.fixture
def copied(cli: Cli, shared: Cli) -> Cli:
    """A command line of this test's own, with a copy of the cache of ``videos``."""
    shutil.copytree(shared.home / "cache", cli.home / "cache")
    return cli


@pytest.fixture(scope="session")
def joined() -> Iterator[dict[str, str]]:
    """What a command's environment needs to join a Ray of one core instead of starting one."""
    with ray_head(UNGUARDED) as address:
        yield {**UNGUARDED, "RAY_ADDRESS": address}


@pytest.fixture
def damage() -> Callable[[Path, int], None]:
    """Flip one byte of a file."""

    def flip(path: Path, at: int) -> None:
        body = bytearray(path.read_bytes())
        body[at % len(body)] ^= 0x10
        path.chmod(0o644)
        path.write_bytes(bytes(body))

    return flip

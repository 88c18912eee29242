"""Real videos and a real cache, small enough for every test to use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.cli import EXTRACT, Cli
from structalign.benchmarks.parts.demo_manifest import write_manifest
from structalign.extract.datasets.demo.files import write_clip
from structalign.extract.datasets.demo.world import WorldClip, build_world

CATEGORIES, TRAIN, TEST = 4, 4, 4

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many threads as cores in each of as many processes wait for each other, and busily.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


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
def damage() -> Callable[[Path, int], None]:
    """Flip one byte of a file."""

    def flip(path: Path, at: int) -> None:
        body = bytearray(path.read_bytes())
        body[at % len(body)] ^= 0x10
        path.chmod(0o644)
        path.write_bytes(bytes(body))

    return flip

"""Real videos and a real cache, small enough for every test to use."""

import csv
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extract.demo_world.files import write_clip
from extract.demo_world.world import WorldClip, build_world

ROOT = Path(__file__).parents[1]
CATEGORIES, TRAIN, TEST = 4, 4, 4

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def world_clips() -> list[WorldClip]:
    """A few clips of a demo world: 4 categories, 4 training and 4 test clips each (two of them motion twins)."""
    world = build_world(7)
    names = list(dict.fromkeys(clip.category for clip in world))[:CATEGORIES]
    chosen = []
    for name in names:
        for split, count in (("train", TRAIN), ("test", TEST)):
            chosen += [clip for clip in world if clip.category == name and clip.split == split][:count]
    return chosen


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, world_clips: list[WorldClip]) -> Path:
    """A folder with those clips as mp4 files and a manifest of them. Not to be changed."""
    folder = tmp_path_factory.mktemp("videos")
    for clip in world_clips:
        write_clip(clip, folder)
    write_manifest(folder / "manifest.csv", world_clips)
    return folder


def write_manifest(path: Path, clips: list[WorldClip]) -> None:
    """One row a caption."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip_id", "path", "start", "end", "category", "split", "caption"])
        for clip in clips:
            for caption in clip.captions:
                table.writerow([clip.name, f"{clip.name}.mp4", "", "", clip.category, clip.split, caption])


class Cli:
    """The real command line in a process of its own, with a cache root and a runs folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "STRUCTALIGN_CACHE": str(home / "cache"), "STRUCTALIGN_RUNS": str(home / "runs"), "OMP_NUM_THREADS": "1"}

    def __call__(self, *arguments: str | Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run the command line with arguments, in a process forked from a warm one; stdout, stderr and returncode come back."""
        command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        if any(name.startswith(("HF_", "PYTHONPROFILE")) for name in self.environment):  # read while importing
            return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=self.environment, cwd=self.home, check=False)
        return _warm(command, self.environment, self.home, timeout)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start ``cli.py`` and do not wait for it; stderr is piped."""
        command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment, cwd=self.home)

    def json(self, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        """Run with --json, expect ``code``, and read the one object on stdout."""
        done = self(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return dict(json.loads(done.stdout))

    def error(self, *arguments: str | Path, code: int = 1) -> str:
        """Run, expect failure with ``code`` and one line, and return it."""
        done = self(*arguments)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        lines = [line for line in done.stderr.strip().splitlines() if line.startswith(("error:", "Error:"))]
        assert len(lines) == 1, done.stderr
        return lines[0]


@functools.cache
def _warm_process() -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen([sys.executable, "-m", "tests.warm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def _warm(command: list[str], environment: dict[str, str], home: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    process = _warm_process()
    assert process.stdin and process.stdout
    with tempfile.NamedTemporaryFile("w+") as out, tempfile.NamedTemporaryFile("w+") as err:
        order = {"argv": command[2:], "env": environment, "cwd": str(home), "out": out.name, "err": err.name}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        late = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
        late.start()
        code = int(process.stdout.readline())
        late.cancel()
        return subprocess.CompletedProcess(command, code, out.read(), err.read())


EXTRACT = ("extract", "--dataset", "manifest", "--backbone", "demo", "--pretrained", "demo", "--frames", "4", "--views", "2", "--engine", "inline")


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

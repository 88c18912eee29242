"""A disk that is full ends with one clear line, publishes nothing, and with room again the work
goes on.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, QUICK, Cli
from structalign.cache.verify import verify

ARGS = (*EXTRACT, "--cut", "4")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB; skipped where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    made = (
        mount
        and subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    if not made:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Take all room but ``leave`` bytes."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    ballast = folder / "ballast"
    ballast.write_bytes(b"\0" * (free - leave))
    return ballast


def test_extraction(small_disk: Path, videos: Path) -> None:
    cli = Cli(small_disk)
    ballast = fill(small_disk, 3 * 2**20 + 600_000)  # the frozen weights fit, the tokens do not
    message = cli.error(*ARGS, "--root", videos)
    assert "No space left on device" in message and "nothing unfinished was published" in message
    assert not list((small_disk / "cache").glob("caches/*"))
    ballast.unlink()
    assert verify(cli.json(*ARGS, "--root", videos)["path"]).ok


@pytest.mark.slow
def test_training(small_disk: Path, shared: Cli) -> None:
    ballast = fill(small_disk, 900_000)
    message = shared.error("train", *QUICK, "--out", small_disk / "run")
    assert "No space left on device" in message or "cannot be written" in message
    ballast.unlink()
    assert shared.json("train", *QUICK, "--out", small_disk / "run")["final"]["stage"] == 2


def test_export_and_import(small_disk: Path, shared: Cli, tmp_path: Path) -> None:
    """HDF5's own words are four lines, and name addresses of memory."""
    ballast = fill(small_disk, 600_000)
    message = shared.error("cache", "export", small_disk / "x.h5")
    assert "No space left on device: " in message and "nothing unfinished" in message
    assert [path.name for path in small_disk.iterdir()] == [ballast.name]
    bundle = tmp_path / "x.h5"
    shared.json("cache", "export", bundle)
    cli = Cli(small_disk)
    assert "No space left on device" in cli.error("cache", "import", bundle)
    ballast.unlink()
    assert verify(cli.json("cache", "import", bundle)["path"]).ok

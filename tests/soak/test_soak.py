"""The long part of the fault tests: ``make soak``. Each prints what it counted."""

import os
import shutil
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, Cli
from helpers.damage import damage_all_over
from helpers.kills import kill_extraction, kill_training
from structalign.cache import CacheRoot
from structalign.cache.verify import verify
from structalign.core.permissions import make_writable
from structalign.extract.video.decoder import RECYCLE_AFTER, Decoder

pytestmark = pytest.mark.soak


def test_kill_extraction_at_thirty_moments(cli: Cli, videos: Path) -> None:
    print(
        f"30 extractions, killed while running: {kill_extraction(cli, videos, 30, seed=1)}; all "
        "ended with the same bytes"
    )


def test_kill_training_at_twenty_moments(shared: Cli, tmp_path: Path) -> None:
    print(
        f"20 trainings, killed while running: {kill_training(shared, tmp_path, 20, seed=1)}; all "
        "ended with the same results and bytes"
    )


def test_two_hundred_flips_and_fifty_truncations(shared: Cli, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(CacheRoot(shared.home / "cache").published()[0], tmp_path / "copy"))
    make_writable(copy)
    unnoticed = damage_all_over(copy, 200, 50, seed=1)
    print(f"200 flips and 50 truncations, not found: {len(unnoticed)}")
    assert unnoticed == []


@pytest.mark.parametrize("count", [2, 4])
def test_concurrent_extractors_ten_rounds(cli: Cli, videos: Path, count: int) -> None:
    arguments = (*EXTRACT, "--cut", "4", "--root", videos)
    for _ in range(10):
        running = [cli.start(*arguments) for _ in range(count)]
        for process in running:
            _, err = process.communicate(timeout=600)
            assert process.returncode == 0, err
        (path,) = (cli.home / "cache" / "caches").iterdir()
        assert verify(path).ok
        cli.json("cache", "rm", path, "--yes")
    print(f"10 rounds of {count} extractors at once: one verified cache each, no failure")


def test_decoding_memory_stays_flat_over_five_thousand_clips(videos: Path) -> None:
    files = sorted(videos.glob("*.mp4"))
    peaks: list[int] = []
    with Decoder(60) as decoder:
        for n in range(5000):
            decoder.decode(files[n % len(files)], None, None, 4)
            if n % RECYCLE_AFTER == RECYCLE_AFTER - 1:
                assert decoder._child is not None
                peaks.append(_resident(decoder._child.pid))
    own = _resident(os.getpid())
    print(
        f"5000 clips: decoder's memory at the end of its life, MB: first {peaks[0]}, largest "
        f"{max(peaks)}; this process {own}"
    )
    assert max(peaks) < 1.2 * peaks[0]


def _resident(pid: int) -> int:
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return int(line.split()[1]) // 1024

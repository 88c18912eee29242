"""A lease is granted to one process, respects a live holder, and is taken over from a dead one.

Processes and files are real.
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structalign.core.lease import Lease


def test_one_of_many_gets_it(tmp_path: Path) -> None:
    for round_ in range(10):
        claims = [Lease(tmp_path, f"c{round_}") for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(Lease.try_acquire, claims)) == 1


def test_it_is_released_at_the_end(tmp_path: Path) -> None:
    first, second = Lease(tmp_path, "c"), Lease(tmp_path, "c")
    assert first.try_acquire() and not second.try_acquire()
    with first:
        assert not second.try_acquire()
    assert not list(tmp_path.iterdir())
    assert second.try_acquire()


def test_a_process_of_this_host_that_ended_is_succeeded_at_once(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from structalign.core.lease import Lease
print(Lease(Path(sys.argv[1]), "c").try_acquire(), flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline().strip() == "True"
    ours = Lease(tmp_path, "c", timeout=1e9)
    assert not ours.try_acquire() and ours.holder().startswith(f"process {process.pid} on ")
    process.kill()
    process.wait()
    assert ours.try_acquire() and ours.number == 2


def foreign(folder: Path, **more: object) -> Path:
    file = folder / "c.0001"
    file.write_text(
        json.dumps({"host": "elsewhere", "boot": "x", "pid": 1, "born": "1", "beat": 0, **more})
    )
    return file


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that a lease sees, in seconds; a busy machine does not change it."""
    now = [0.0]
    monkeypatch.setattr("structalign.core.lease.time.monotonic", lambda: now[0])
    return now


def test_another_host_is_succeeded_once_its_heartbeat_stops(
    tmp_path: Path, clock: list[float]
) -> None:
    foreign(tmp_path)
    ours = Lease(tmp_path, "c", timeout=6)
    for beat in range(4):
        foreign(tmp_path, heartbeat=beat)
        assert not ours.try_acquire()
        clock[0] += 4
    assert not ours.try_acquire()
    clock[0] += 4
    assert ours.try_acquire() and ours.number == 2


def test_a_holder_that_lost_its_lease_knows_it_and_leaves_the_new_file(tmp_path: Path) -> None:
    first = Lease(tmp_path, "c", heartbeat=0.05)
    assert first.try_acquire()
    with first:
        (tmp_path / "c.0002").write_text("{}")
        assert first.lost
        time.sleep(0.2)
    assert (tmp_path / "c.0002").exists()


def test_an_unreadable_lease_expires_like_a_silent_one(tmp_path: Path, clock: list[float]) -> None:
    (tmp_path / "c.0001").write_text("not json")
    ours = Lease(tmp_path, "c", timeout=1)
    assert not ours.try_acquire()
    clock[0] += 2
    assert ours.try_acquire()

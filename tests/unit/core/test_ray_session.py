"""Starting Ray on a busy machine: it gives up after waiting 30 seconds for its own processes."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ray._private import node
from structalign.core.errors import StructAlignError
from structalign.core.ray_session import TRIES, ray_session, start_with_retries

pytestmark = pytest.mark.xdist_group("ray")


def raylets() -> set[int]:
    """Process ids of this process's own raylets."""
    found = set()
    for child in " ".join(
        task.read_text() for task in Path("/proc/self/task").glob("*/children")
    ).split():
        with suppress(OSError):  # ended meanwhile
            if Path(f"/proc/{child}/comm").read_text() == "raylet\n":
                found.add(int(child))
    return found


@contextmanager
def held_up(count: int) -> Iterator[set[int]]:
    """Stop the first ``count`` raylets that this process starts, as on a machine without time.

    Yields the ids of those stopped so far.
    """
    stopped: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set() and len(stopped) < count:
            for raylet in raylets() - stopped:
                os.kill(raylet, signal.SIGSTOP)
                stopped.add(raylet)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield stopped
    finally:
        over.set()
        watcher.join()


class HurriedTime:
    """The module ``time``, ten times as fast while a raylet is stopped: 30 seconds are three."""

    def __init__(self, stopped: set[int]) -> None:
        self.stopped, self.last, self.added = stopped, time.monotonic(), 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def monotonic(self) -> float:
        now = time.monotonic()
        self.added += 9 * (now - self.last) * bool(raylets() & self.stopped)
        self.last = now
        return now + self.added


@pytest.mark.slow
def test_a_start_that_takes_too_long_is_repeated_and_leaves_no_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with held_up(1) as stopped:
        monkeypatch.setattr(node, "time", HurriedTime(stopped))
        with ray_session("local", 1) as ray:
            assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0), (
                "workers must keep their share of a busy machine"
            )
            assert len(stopped) == 1 and len(raylets()) == 1 and not raylets() & stopped


def test_a_machine_that_stays_too_busy_is_one_error_line() -> None:
    tries = []

    def begin() -> None:
        tries.append(1)
        raise Exception("The current node timed out during startup. And more.\nAnd more.")

    with pytest.raises(StructAlignError) as raised:
        start_with_retries(begin)
    assert len(tries) == TRIES
    said = (
        r"Ray gave up starting 3 times: The current node timed out during startup\. And more\. "
        r"The load here is \d+ on \d+ cores; try again .*"
    )
    assert re.fullmatch(said, str(raised.value))


def test_an_error_other_than_a_timeout_is_not_retried() -> None:
    tries = []

    def begin() -> None:
        tries.append(1)
        raise ValueError("When connecting to an existing cluster, ...")

    with pytest.raises(ValueError, match="existing cluster"):
        start_with_retries(begin)
    assert len(tries) == 1


CHANGED = """
import os
from structalign.core.ray_session import ray_session
with ray_session("local", 1):
    pass
del os.environ["RAY_AUTH_TOKEN"]  # like a session that restores its environment
os.environ["RAY_gcs_server_port_wait_time_s"] = "4"  # Ray tries for 20 s
with ray_session("local", 1):
    pass
"""


@pytest.mark.slow
def test_a_token_changed_within_a_process_is_named_in_the_error() -> None:
    """The message once asked for the token of a cluster instead."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")
    }
    done = subprocess.run(
        [sys.executable, "-c", CHANGED],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 1
    [message] = [line for line in done.stderr.splitlines() if "RayStartError: " in line]
    assert message.endswith("leave them as they were, or start a new process")

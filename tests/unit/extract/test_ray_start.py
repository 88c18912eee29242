"""Ray on a busy machine.

It gives up after 30 seconds of waiting for its own parts; one of CI's runs failed on that.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from structalign.cache.runtime.errors import StructAlignError
from structalign.cache.runtime.ray_session import TRIES, ray_session, start_with_retries


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
    """The first ``count`` raylets that this process starts are stopped.

    As if the machine gave them no time. Yields those that were.
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


@pytest.mark.slow
def test_a_start_that_took_too_long_is_tried_again_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # else Ray sets it for all of this process's later tests
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with held_up(1) as stopped, ray_session("local", 1) as ray:
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0), (
            "workers must not give way to whoever else is busy"
        )
        assert len(stopped) == 1 and len(raylets()) == 1 and not raylets() & stopped


def test_a_machine_that_stays_too_busy_is_told_in_one_line() -> None:
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


def test_an_error_that_is_no_matter_of_time_is_not_tried_again() -> None:
    tries = []

    def begin() -> None:
        tries.append(1)
        raise ValueError("When connecting to an existing cluster, ...")

    with pytest.raises(ValueError, match="existing cluster"):
        start_with_retries(begin)
    assert len(tries) == 1

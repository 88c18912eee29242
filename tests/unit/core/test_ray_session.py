"""Ray on a busy machine.

It gives up after 30 seconds of waiting for its own parts; one of CI's runs failed on that.
"""

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
from structalign.core.errors import StructAlignError
from structalign.core.ray_session import TRIES, ray_session, start_with_retries


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
def test_a_start_that_took_too_long_is_tried_again_and_leaves_nothing_behind() -> None:
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


CHANGED = """
import os
from structalign.core.ray_session import ray_session
with ray_session("local", 1):
    pass
del os.environ["RAY_AUTH_TOKEN"]  # as a session that puts its environment back
os.environ["RAY_gcs_server_port_wait_time_s"] = "15"  # Ray tries for 20 s
with ray_session("local", 1):
    pass
"""


@pytest.mark.slow
def test_a_token_changed_within_a_process_is_told() -> None:
    """One of CI's runs failed on that, and was told to bring a token to a cluster."""
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
    [told] = [line for line in done.stderr.splitlines() if "StructAlignError: " in line]
    assert told.endswith("leave them as they were, or start a new process")

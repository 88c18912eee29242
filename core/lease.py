"""A lease file with a heartbeat: one writer per cache, across hosts that share only a folder.

Its holder rewrites ``NAME.0001`` every few seconds. It is over when it is released, when its holder
is a process of this host that has ended, or when it has not changed for ``TIMEOUT`` seconds by the
contender's own clock. To take over is to create the file with the next number, which even NFS
grants to one process only (unlike file locks, and filelock's SoftFileLease, which swaps two names).
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import read_json, write_text

HEARTBEAT, TIMEOUT = 5.0, 60.0  # seconds
POLL = 0.5  # seconds between two attempts to take a held lease


class Lease:
    """The right to write ``name``. As a context manager: a heartbeat in a thread, then release."""

    def __init__(
        self, folder: Path, name: str, heartbeat: float = HEARTBEAT, timeout: float = TIMEOUT
    ) -> None:
        self.folder, self.name, self.heartbeat, self.timeout = folder, name, heartbeat, timeout
        self.number = 0
        self._last_change: tuple[object, float] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def try_acquire(self) -> bool:
        """Take the lease if it is free or expired. Never waits: a contender calls it repeatedly."""
        self.folder.mkdir(parents=True, exist_ok=True)
        current = self._current()
        if current and not self._is_over(current):
            return False
        try:
            with self._file(current + 1).open("x") as file:
                json.dump(self._state(0), file)
        except FileExistsError:
            return False
        self.number = current + 1
        return True

    def acquire(self, on_wait: Callable[[str], None]) -> None:
        """Wait for the lease and take it; ``on_wait`` is called once, with its present holder."""
        if self.try_acquire():
            return
        on_wait(self.holder())
        while not self.try_acquire():
            time.sleep(POLL)

    def acquire_unless_held(self, on_wait: Callable[[str], None]) -> bool:
        """Take the lease, unless its holder is alive.

        One on another host, boot or container is alive when its file changes; ``on_wait`` is called
        once, with that holder, before up to ``timeout`` seconds of waiting for a change.
        """
        if self.try_acquire():
            return True
        number = self._current()
        state = self._read(number)
        if state is not None and _is_of_this_host(state):
            return False
        on_wait(self.holder())
        while not self.try_acquire():
            if self._current() not in (0, number) or self._read(number) != state:
                return False
            time.sleep(POLL)
        return True

    def holder(self) -> str:
        """The process that has the lease, for messages."""
        state = self._read(self._current()) or {}
        return f"process {state.get('pid', '?')} on {state.get('host', '?')}"

    @property
    def lost(self) -> bool:
        """Whether another process has taken over."""
        return self._current() != self.number

    def __enter__(self) -> "Lease":
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if not self.lost:
            for number in range(1, self.number + 1):
                self._file(number).unlink(missing_ok=True)
            for unfinished in self.folder.glob(f".{self.name}.*.tmp"):
                unfinished.unlink(missing_ok=True)

    def _keep_alive(self) -> None:
        beat = 0
        while not self._stop.wait(self.heartbeat):
            beat += 1
            if self.lost:
                return
            try:
                write_text(self._file(self.number), json.dumps(self._state(beat)))
            except OSError:
                continue  # a full or unreachable disk: the work itself will report it

    def _current(self) -> int:
        """The highest number of the lease's files, 0 where there is none."""
        suffixes = [file.suffix[1:] for file in self.folder.glob(f"{self.name}.*")]
        return max((int(suffix) for suffix in suffixes if suffix.isdigit()), default=0)

    def _is_over(self, number: int) -> bool:
        """Whether its holder has ended, or its file has been the same for over the timeout."""
        state = self._read(number)
        if state and _is_of_this_host(state) and _process_start(state["pid"]) != state.get("born"):
            return True
        if self._last_change is None or self._last_change[0] != (number, state):
            self._last_change = (number, state), time.monotonic()
        return time.monotonic() - self._last_change[1] > self.timeout

    def _state(self, beat: int) -> dict[str, Any]:
        """The holder. Hosts with other versions of this project read these keys too."""
        pid = os.getpid()
        return {
            "host": platform.node(), "boot": _boot_id(), "pid": pid,
            "born": _process_start(pid), "beat": beat,
        }  # fmt: skip

    def _read(self, number: int) -> dict[str, Any] | None:
        try:
            return dict(read_json(self._file(number)))
        except (OSError, ValueError, TypeError):
            return None

    def _file(self, number: int) -> Path:
        return self.folder / f"{self.name}.{number:04d}"


def _is_of_this_host(state: dict[str, Any]) -> bool:
    """Whether a holder is a process of this host's present boot, whose end can be seen."""
    is_whole = bool(state.get("boot")) and type(state.get("pid")) is int
    return is_whole and state["boot"] == _boot_id() and state.get("host") == platform.node()


def _boot_id() -> str:
    """Identifies one boot of a host, and the process numbers of one container on it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """When a process of this host started, None where there is none: numbers are reused."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]

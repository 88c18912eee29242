"""A lease file with a heartbeat: one writer per cache, across hosts that share only a folder.

A lease is a file ``NAME.0001`` that its owner rewrites every few seconds. Another process waits,
or takes over when the lease has not changed for too long by its own clock (hosts' clocks need not
agree), was released, or belongs to a process of this host that has ended. Taking over means
creating the next number, which the file system grants to one process; no file locks are used.
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
POLL = 0.5  # seconds between two looks at another process's lease


class Lease:
    """The right to write ``name``. As a context manager: heartbeat in a thread, then release."""

    def __init__(
        self, folder: Path, name: str, heartbeat: float = HEARTBEAT, timeout: float = TIMEOUT
    ) -> None:
        self.folder, self.name, self.heartbeat, self.timeout = folder, name, heartbeat, timeout
        self.number = 0
        self._watched: tuple[str, float] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def try_acquire(self) -> bool:
        """Take the lease if it is free or expired. Never waits; call it again after a while."""
        self.folder.mkdir(parents=True, exist_ok=True)
        current = self._current()
        if current and not self._is_over(current):
            return False
        number = current + 1
        try:
            with self._file(number).open("x") as file:
                json.dump(self._state(0), file)
        except FileExistsError:
            return False
        self.number = number
        return True

    def acquire(self, waits: Callable[[str], None]) -> None:
        """Take the lease as soon as possible; ``waits`` is told once who has it until then."""
        told = False
        while not self.try_acquire():
            if not told:
                waits(self.holder())
                told = True
            time.sleep(POLL)

    def holder(self) -> str:
        """Who has it, for a person."""
        state = self._read(self._current()) or {}
        return f"process {state.get('pid', '?')} on {state.get('host', '?')}"

    @property
    def lost(self) -> bool:
        """Whether another process took over meanwhile."""
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
            for left in self.folder.glob(f".{self.name}.*.tmp"):
                left.unlink(missing_ok=True)

    def _keep_alive(self) -> None:
        count = 0
        while not self._stop.wait(self.heartbeat):
            count += 1
            if self.lost:
                return
            try:
                write_text(self._file(self.number), json.dumps(self._state(count)))
            except OSError:
                continue  # a full or unreachable disk: the work itself will report it

    def _current(self) -> int:
        suffixes = [file.suffix[1:] for file in self.folder.glob(f"{self.name}.*")]
        return max((int(suffix) for suffix in suffixes if suffix.isdigit()), default=0)

    def _is_over(self, number: int) -> bool:
        state = self._read(number)
        if state is None:
            return self._expired(number, "unreadable")
        same_boot = state.get("boot") and state.get("boot") == _boot_id()
        here = bool(same_boot) and state.get("host") == platform.node()
        ended = here and state.get("born") != _process_start(int(state["pid"]))
        return ended or self._expired(number, json.dumps(state))

    def _expired(self, number: int, content: str) -> bool:
        seen = f"{number} {content}"
        if self._watched is None or self._watched[0] != seen:
            self._watched = seen, time.monotonic()
        return time.monotonic() - self._watched[1] > self.timeout

    def _state(self, count: int) -> dict[str, Any]:
        """The keys of every version so far: hosts that share a root may run different ones."""
        pid = os.getpid()
        return {
            "host": platform.node(), "boot": _boot_id(), "pid": pid,
            "born": _process_start(pid), "beat": count,
        }  # fmt: skip

    def _read(self, number: int) -> dict[str, Any] | None:
        try:
            return dict(read_json(self._file(number)))
        except (OSError, ValueError, TypeError):
            return None

    def _file(self, number: int) -> Path:
        return self.folder / f"{self.name}.{number:04d}"


def _boot_id() -> str:
    """Tells one boot of a host (or container) from another."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """When a process of this host started, None when there is none: numbers are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]

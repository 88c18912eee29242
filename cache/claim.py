"""Who works on a cache right now, among processes on any number of hosts that share nothing but a folder.

A claim is a file ``NAME.0001`` that its owner rewrites every few seconds. Whoever finds a claim waits for the cache, or takes over when the claim has
stood still for too long by the watcher's own clock (hosts' clocks need not agree), was given up, or is of a process of this host that has ended.
Taking over means to create the next number, which the file system grants to one alone; locks of the file system are not used.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from cache.files import write_text

BEAT, TIMEOUT = 5.0, 60.0  # seconds
POLL = 0.5  # seconds between two looks at somebody else's claim


class Claim:
    """The right to work on ``name``. As a context manager it beats in the background and gives up at the end."""

    def __init__(self, folder: Path, name: str, beat: float = BEAT, timeout: float = TIMEOUT) -> None:
        self.folder, self.name, self.beat, self.timeout = folder, name, beat, timeout
        self.number = 0
        self._watched: tuple[str, float] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def try_acquire(self) -> bool:
        """Take the claim if it is free or dead. Never waits; call it again after a while."""
        self.folder.mkdir(parents=True, exist_ok=True)
        current = self._current()
        if current and not self._is_dead(current):
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
        """Take the claim as soon as it can be had; ``waits`` is told once who has it until then."""
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
    def superseded(self) -> bool:
        """Whether somebody took over meanwhile."""
        return self._current() != self.number

    def __enter__(self) -> "Claim":
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if not self.superseded:
            for number in range(1, self.number + 1):
                self._file(number).unlink(missing_ok=True)
            for left in self.folder.glob(f".{self.name}.*.tmp"):
                left.unlink(missing_ok=True)

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(self.beat):
            count += 1
            if self.superseded:
                return
            try:
                write_text(self._file(self.number), json.dumps(self._state(count)))
            except OSError:
                continue  # a full or unreachable disk: the work itself will say so

    def _current(self) -> int:
        numbers = [int(file.suffix[1:]) for file in self.folder.glob(f"{self.name}.*") if file.suffix[1:].isdigit()]
        return max(numbers, default=0)

    def _is_dead(self, number: int) -> bool:
        state = self._read(number)
        if state is None:
            return self._stood_still(number, "unreadable")
        here = state.get("boot") and state.get("boot") == _boot() and state.get("host") == platform.node()
        ended = bool(here) and state.get("born") != _born(int(state["pid"]))
        return ended or self._stood_still(number, json.dumps(state))

    def _stood_still(self, number: int, content: str) -> bool:
        seen = f"{number} {content}"
        if self._watched is None or self._watched[0] != seen:
            self._watched = seen, time.monotonic()
        return time.monotonic() - self._watched[1] > self.timeout

    def _state(self, count: int) -> dict[str, Any]:
        pid = os.getpid()
        return {"host": platform.node(), "boot": _boot(), "pid": pid, "born": _born(pid), "beat": count}

    def _read(self, number: int) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._file(number).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _file(self, number: int) -> Path:
        return self.folder / f"{self.name}.{number:04d}"


def _boot() -> str:
    """Tells one run of a host (or container) from another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _born(pid: int) -> str | None:
    """When a process of this host was started, None when there is none: a number may be given again to another process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]

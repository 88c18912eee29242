"""Child processes run this very package, and a process ends on request or with its parent."""

import atexit
import functools
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
END_WITHIN = 8.0  # seconds from SIGTERM to the end, whatever is being computed
PARENT_CHECK_EVERY = 1.0  # seconds
INTERRUPTED = 130  # exit code


def child_python_path() -> str:
    """PYTHONPATH for a child process in which ``import structalign`` finds this package."""
    return os.pathsep.join(filter(None, [_link_folder(), os.environ.get("PYTHONPATH", "")]))


@functools.cache
def _link_folder() -> str | None:
    """A folder with a link to this package; None if it is installed: a child finds it."""
    for finder in sys.meta_path:
        spec = finder.find_spec("structalign", None)
        if spec is not None and spec.origin is not None:
            if Path(spec.origin).resolve() == (PACKAGE / "__init__.py").resolve():
                return None
            break
    folder = tempfile.mkdtemp(prefix="structalign-import-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (Path(folder) / "structalign").symlink_to(PACKAGE.resolve())
    return folder


def interrupt_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does; by force after ``END_WITHIN`` seconds."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    force = threading.Timer(END_WITHIN, os._exit, (INTERRUPTED,))
    force.daemon = True
    force.start()
    raise KeyboardInterrupt


@contextmanager
def interrupts_between_steps() -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM take effect where the yielded function is called, and at the end.

    An exception that a signal raises within a destructor or a callback of a weak reference is
    lost, and h5py is in such callbacks for a large share of its time.
    """
    received: list[int] = []
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    is_main = threading.current_thread() is threading.main_thread()
    replaced = [number for number in usual if is_main and callable(usual[number])]

    def raise_received() -> None:
        for number in received:
            handler = usual[signal.Signals(number)]
            assert callable(handler)
            handler(number, None)

    for number in replaced:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield raise_received
    finally:
        for number in replaced:
            signal.signal(number, usual[number])
    raise_received()


def end_with_parent() -> None:
    """End this process within about a second after its parent has ended, for whatever reason."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_EVERY)
    os._exit(1)

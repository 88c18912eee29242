"""Ending on request: SIGTERM is an interrupt, and a process does not outlive its parent."""

import os
import signal
import threading
import time

WITHIN = 8.0  # seconds from SIGTERM to the end, whatever is being computed
LOOK_EVERY = 1.0  # seconds between two looks at the parent
INTERRUPTED = 130


def interrupt_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does; by force where that takes too long."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    last = threading.Timer(WITHIN, os._exit, (INTERRUPTED,))
    last.daemon = True
    last.start()
    raise KeyboardInterrupt


def end_with_parent() -> None:
    """End this process soon after its parent has ended, however that ended."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os._exit(1)

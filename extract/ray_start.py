"""Starting a Ray of one's own on a machine that may be busy: Ray gives its parts 30 seconds to come up, which a loaded machine exceeds."""

import os
import traceback
from collections.abc import Callable

from cache.errors import StructAlignError

TRIES = 3


def start_patiently(begin: Callable[[], object]) -> None:
    """Call ``begin``, which starts Ray in this process, and again when Ray gave up waiting for its own parts.

    Raises:
        StructAlignError: it gave up ``TRIES`` times. What else ``begin`` raises passes through.
    """
    for attempt in range(1, TRIES + 1):
        try:
            begin()
            return
        except Exception as error:  # Ray raises exactly this, no class of its own
            if type(error) is not Exception:
                raise
            _end_half_started(error)
            if attempt == TRIES:
                raise StructAlignError(
                    f"Ray gave up starting {TRIES} times: {str(error).splitlines()[0]} The load here is {os.getloadavg()[0]:.0f} on "
                    f"{os.cpu_count()} cores; try again when less is running, or join a cluster with --ray-address"
                ) from error


def _end_half_started(error: Exception) -> None:
    """End the processes of the node whose making raised ``error``: else they would stay as long as this process, beside the next try's."""
    from ray._private.node import Node

    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=True, wait=True)

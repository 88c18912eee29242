"""Opening runs and answering HTTP until interrupted."""

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from ... import open_cache, open_run
from ...core.console import log_to_stderr
from ...core.errors import StructAlignError
from .access import is_loopback
from .app import make_app
from .library import Library

GRACE = 3  # seconds for what is being answered when the server is stopped


def run_server(
    runs: Sequence[Path], cache: str | None, root: Path | None, host: str, port: int,
    token: str | None, device: str, cache_root: Path | None,
) -> None:  # fmt: skip
    """Serve some runs until the process is interrupted.

    Raises:
        StructAlignError: no such run, two of one name, the address is taken, or a host that others
            reach without a token.
    """
    if token is None and not is_loopback(host):
        raise StructAlignError(
            f"whoever reaches {host} could search and watch these videos; "
            "give --token or set STRUCTALIGN_TOKEN"
        )
    names = [Path(os.path.normpath(path.absolute())).name for path in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise StructAlignError(f"two of these runs are called {twice}; the page could not tell")
    opened = [open_run(path, cache_root=cache_root, device=device) for path in runs]
    added = open_cache(cache, cache_root) if cache else None
    library = Library(list(zip(names, opened, strict=True)), added, root)
    app = make_app(library, host, token)
    listening = _listen(host, port)
    address = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    clips = sum(len(one.searcher) for one in library.served.values())
    log_to_stderr(f"http://{shown}:{address}  ({clips} clips; Ctrl-C ends)")
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=GRACE, server_header=False
    )
    with listening:
        uvicorn.Server(config).run([listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket on an address. Raises StructAlignError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(128)  # who comes before the server is ready waits
    except OSError as error:
        found.close()
        taken = "; give another --port" * (error.errno == errno.EADDRINUSE)
        raise StructAlignError(
            f"cannot listen on {host}:{port} ({error.strerror}){taken}"
        ) from error
    return found

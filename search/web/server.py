"""Opens runs and serves them by HTTP until interrupted."""

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from ... import open_cache, open_run
from ...core.console import log_to_stderr
from ...core.errors import StructAlignError
from .access import is_loopback, is_usable
from .app import make_app
from .protocol import PatientProtocol
from .registry import RunRegistry

GRACE = 3  # seconds to finish open requests when the server stops


def run_server(
    runs: Sequence[Path], cache: str | None, root: Path | None, host: str, port: int,
    token: str | None, device: str, cache_root: Path | None,
) -> None:  # fmt: skip
    """Serve some runs until the process is interrupted.

    Raises StructAlignError: no such run, two runs with the same name, the address is taken, a token
    that is empty or unfit for a header, or a host that other machines reach, without one.
    """
    if token is not None and not is_usable(token):
        raise StructAlignError(
            "a token is one or more printable ASCII characters without blanks, and this one is "
            f"{'empty' if not token else 'not'}; give another --token"
        )
    if token is None and not is_loopback(host):
        raise StructAlignError(
            f"everyone who reaches {host} could search and watch these videos; "
            "give --token or set STRUCTALIGN_TOKEN"
        )
    names = [Path(os.path.normpath(path.absolute())).name for path in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise StructAlignError(f"two of these runs are called {twice}; rename one of the folders")
    opened = [open_run(path, cache_root=cache_root, device=device) for path in runs]
    added = open_cache(cache, cache_root) if cache else None
    registry = RunRegistry(list(zip(names, opened, strict=True)), added, root)
    app = make_app(registry, host, token)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    clips = sum(len(served.searcher) for served in registry.runs.values())
    log_to_stderr(f"http://{shown}:{port}  ({clips} clips; stop with Ctrl-C)")
    config = uvicorn.Config(
        app, http=PatientProtocol, ws="none", log_level="warning",
        timeout_graceful_shutdown=GRACE, server_header=False,
    )  # fmt: skip
    with listening:
        uvicorn.Server(config).run([listening])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StructAlignError when the address is not available."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # clients that connect before the server is ready wait
    except OSError as error:
        listening.close()
        taken = "; give another --port" * (error.errno == errno.EADDRINUSE)
        raise StructAlignError(
            f"cannot listen on {host}:{port} ({error.strerror}){taken}"
        ) from error
    return listening

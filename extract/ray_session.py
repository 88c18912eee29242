"""Starting Ray the way this project wants it: local unless told otherwise, quiet, without usage statistics."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from cache.errors import StructAlignError
from extract.ray_start import start_patiently

PATIENCE = 10  # seconds for a cluster to answer
HTTP2_SETTINGS = 4  # a type of frame


@contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[ModuleType]:
    """Ray, started here or joined at ``address`` or RAY_ADDRESS, and left again at the end. Yields the ray module.

    Raises:
        StructAlignError: it cannot be started or reached.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its core logs on our stderr what it then mends itself
    os.environ.setdefault("RAY_worker_niceness", "0")  # as this process; at Ray's own 15, whoever else is busy here stops the workers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray.exceptions import RayError

    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto"):
        _knock(address)
    if address == "local" and not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        # Ray would write one into the home folder: that may be read-only, and every cluster started from it later would ask for that token
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    local = {"include_dashboard": False, "num_cpus": max(cpus or 0, os.cpu_count() or 1)} if address == "local" else {}
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    try:
        with _silent_stderr():  # its core announces its log level before it heeds it; errors come as exceptions
            quiet = {"log_to_driver": False, "logging_level": "ERROR"}
            start_patiently(lambda: ray.init(address=address, runtime_env={"env_vars": {"PYTHONPATH": path}}, **quiet, **local))
    except (OSError, ValueError, RuntimeError, RayError) as error:
        if "AuthenticationError" in f"{error!r} {error.__cause__!r}":
            raise StructAlignError(
                f"the Ray cluster at '{address}' wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN unless ~/.ray/auth_token holds it"
            ) from error
        raise StructAlignError(f"cannot start or reach Ray at '{address}': {str(error).splitlines()[0]}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises StructAlignError when no Ray answers at HOST:PORT: Ray itself would wait for ever."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise StructAlignError(f"'{address}' is no address of a Ray cluster; it is HOST:PORT, as `ray start --head` prints it, or auto")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("0", "false") and not _speaks_http2(connection):
                raise StructAlignError(f"what answers at '{address}' is no Ray cluster; give the address that `ray start --head` prints")
    except (OSError, OverflowError) as error:
        raise StructAlignError(
            f"no Ray cluster answers at '{address}' ({error}); start one with `ray start --head`, or leave the address out"
        ) from error


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether the other side greets as a gRPC server does, which Ray's are: with a frame of settings (RFC 9113, 3.4)."""
    settings = bytes([0, 0, 0, HTTP2_SETTINGS, 0, 0, 0, 0, 0])
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
    with connection.makefile("rb") as answers:
        greeting = answers.read(len(settings))
    return len(greeting) == len(settings) and greeting[3] == HTTP2_SETTINGS


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Nothing that this process writes to file descriptor 2 is seen, C++ included."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

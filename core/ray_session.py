"""A Ray session: started on this machine unless an address is given, quiet, closed at the end."""

import os
import resource
import secrets
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from .errors import StructAlignError
from .processes import child_python_path

CONNECT_TIMEOUT = 10  # seconds for a cluster to answer
HTTP2_SETTINGS = 4  # a frame type
TRIES = 3
ADDRESS_SPACE = 12 * 10**9  # bytes: with less, Ray's processes never answer


class RayStartError(StructAlignError):
    """Ray cannot be started here, or not be reached; nothing has run yet."""


@contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[ModuleType]:
    """Ray started here, or joined at ``address`` or RAY_ADDRESS. Raises RayStartError."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray's core logs errors from which it then recovers.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # At Ray's default niceness of 15 other busy processes starve the workers.
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray.exceptions import RayError

    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto"):
        _check_reachable(address)
    local = {}
    if address == "local":
        _check_address_space()
        local = {"include_dashboard": False, "num_cpus": max(cpus or 0, os.cpu_count() or 1)}
        if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
            # Ray would write one into the home folder, which may be read-only, and every cluster
            # started later would require it.
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    runtime = {"env_vars": {"PYTHONPATH": child_python_path()}}
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        # Ray's core prints its log level; errors are raised as exceptions.
        with _untouched_process():
            start_with_retries(
                lambda: ray.init(address=address, runtime_env=runtime, **quiet, **local)
            )
    except (OSError, ValueError, RuntimeError, RayError) as error:
        first = str(error).partition("\n")[0]
        if "AF_UNIX" in first:
            first += "; set TMPDIR to a folder with a shorter path"
        problem = f"cannot start or reach Ray at '{address}': {first}"
        if "AuthenticationError" in f"{error!r} {error.__cause__!r}":
            problem = (
                f"the Ray cluster at '{address}' requires its token: set RAY_AUTH_MODE=token, "
                "and RAY_AUTH_TOKEN unless ~/.ray/auth_token holds it"
            )
            if address == "local":  # Ray's core never reads its settings a second time
                problem = (
                    "Ray refuses the processes it just started here: RAY_AUTH_MODE or "
                    "RAY_AUTH_TOKEN changed since Ray was first used in this process; "
                    "leave them as they were, or start a new process"
                )
        raise RayStartError(problem) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def start_with_retries(begin: Callable[[], object]) -> None:
    """Call ``begin``, which starts Ray, up to ``TRIES`` times.

    Ray gives up after 30 seconds without its own processes, which a busy machine exceeds. Raises
    RayStartError at last; other errors of ``begin`` pass through.
    """
    for attempt in range(1, TRIES + 1):
        try:
            begin()
            return
        except Exception as error:  # Ray raises Exception itself, not a subclass
            if type(error) is not Exception:
                raise
            _end_half_started(error)
            if attempt == TRIES:
                raise RayStartError(
                    f"Ray gave up starting {TRIES} times: {str(error).splitlines()[0]} "
                    f"The load here is {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores; "
                    "try again when less is running, or join a cluster with --ray-address"
                ) from error


def _end_half_started(error: Exception) -> None:
    """End the processes of the node whose start raised ``error``: they would keep running."""
    from ray._private.node import Node

    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=True, wait=True)


def _check_address_space() -> None:
    """Raises RayStartError if the limit of address space is too low for Ray's processes."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed != resource.RLIM_INFINITY and allowed < ADDRESS_SPACE:
        raise RayStartError(
            f"Ray needs {ADDRESS_SPACE / 1e9:.0f} GB of address space and 'ulimit -v' leaves "
            f"{allowed / 1e9:.1f}; raise it, or extract with --engine inline"
        )


def _check_reachable(address: str) -> None:
    """Raises RayStartError if no Ray answers at HOST:PORT: Ray itself would wait forever."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise RayStartError(
            f"'{address}' is not the address of a Ray cluster; "
            "give HOST:PORT, as `ray start --head` prints it, or auto"
        )
    without_tls = os.environ.get("RAY_USE_TLS", "0").lower() in ("0", "false")
    try:
        server = (host.strip("[]"), int(port))
        with socket.create_connection(server, timeout=CONNECT_TIMEOUT) as connection:
            if without_tls and not _speaks_http2(connection):
                raise RayStartError(
                    f"the server at '{address}' is not a Ray cluster; "
                    "give the address that `ray start --head` prints"
                )
    except (OSError, OverflowError) as error:
        raise RayStartError(
            f"no Ray cluster answers at '{address}' ({error}); "
            "start one with `ray start --head`, or leave the address out"
        ) from error


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether the server answers as gRPC does: with a settings frame (RFC 9113, section 3.4)."""
    settings = bytes([0, 0, 0, HTTP2_SETTINGS, 0, 0, 0, 0, 0])
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
    with connection.makefile("rb") as answers:
        greeting = answers.read(len(settings))
    return len(greeting) == len(settings) and greeting[3] == HTTP2_SETTINGS


@contextmanager
def _untouched_process() -> Iterator[None]:
    """Keep stderr free of what C++ writes, and the handler of SIGTERM, for which Ray sets abort."""
    handler = signal.getsignal(signal.SIGTERM)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)

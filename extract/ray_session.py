"""Starting Ray the way this project wants it: local unless told otherwise, quiet, without usage statistics."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from cache.errors import StructAlignError


@contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[ModuleType]:
    """Ray, started here or joined at ``address`` or RAY_ADDRESS, and left again at the end. Yields the ray module.

    Raises:
        StructAlignError: it cannot be started or reached.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its core logs on our stderr what it then mends itself
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    address = address or os.environ.get("RAY_ADDRESS") or "local"
    local = {"include_dashboard": False, "num_cpus": max(cpus or 0, os.cpu_count() or 1)} if address == "local" else {}
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": {"PYTHONPATH": path}}, **local)
    except (OSError, ValueError, RuntimeError) as error:
        raise StructAlignError(f"cannot start or reach Ray at '{address}': {str(error).splitlines()[0]}") from error
    try:
        yield ray
    finally:
        ray.shutdown()

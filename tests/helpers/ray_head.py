"""A Ray of one core for the tests that are not about starting one, which takes 10 to 20 s."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNGUARDED = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}


@contextmanager
def ray_head(environment: dict[str, str]) -> Iterator[str]:
    """The address of a head node that runs in a process with that environment."""
    with subprocess.Popen(
        [sys.executable, "-m", "helpers.ray_head"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, **environment}, cwd=Path(__file__).parents[1],
    ) as head:  # fmt: skip
        assert head.stdout is not None
        yield head.stdout.readline().strip()
        head.communicate("\n", timeout=60)


if __name__ == "__main__":
    from ray.cluster_utils import Cluster
    from structalign.core.ray_session import start_with_retries

    cluster = Cluster()
    start_with_retries(
        lambda: cluster.add_node(
            num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False
        )
    )
    sys.stdout.write(cluster.address + "\n")
    sys.stdout.flush()
    input()
    cluster.shutdown()

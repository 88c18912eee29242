"""Several Ray nodes on this machine.

The same bytes as one process, also when a node is killed in the middle.
"""

import csv
import http.server
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, RAY, Cli, digest
from helpers.ray_head import UNGUARDED, ray_head
from ray.cluster_utils import Cluster
from structalign.cache.verify import verify
from structalign.core import ray_session
from structalign.core.errors import StructAlignError
from structalign.core.ray_session import start_with_retries

pytestmark = pytest.mark.xdist_group("ray")

COPIES = 4  # of the 32 clips: eight units


@pytest.fixture
def many(videos: Path, tmp_path: Path) -> Path:
    """A manifest that names every video several times, each time as another clip."""
    folder = tmp_path / "many"
    folder.mkdir()
    for file in videos.glob("*.mp4"):
        (folder / file.name).symlink_to(file)
    with (videos / "manifest.csv").open() as source, (folder / "manifest.csv").open("w") as target:
        rows = csv.DictReader(source)
        table = csv.DictWriter(target, rows.fieldnames or ())
        table.writeheader()
        for row in rows:
            table.writerows({**row, "clip_id": f"{row['clip_id']}_{n}"} for n in range(COPIES))
    return folder


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    start_with_retries(
        lambda: cluster.add_node(
            num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False
        )
    )
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
def test_a_node_killed_in_the_middle_costs_time_and_no_clip(
    shared: Cli, cli: Cli, many: Path, cluster: Cluster
) -> None:
    whole = cli.json(*EXTRACT, "--root", many, "--cut", "4")
    expected = digest(Path(whole["path"]))
    cli.json("cache", "rm", whole["path"], "--yes")
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(2)]
    cluster.wait_for_nodes()
    process = cli.fork(
        *RAY,
        "--root",
        many,
        "--cut",
        "4",
        "--workers",
        "2",
        "--ray-address",
        cluster.address,
        "--json",
    )
    receipts = cli.home / "cache" / "staging"
    while not list(receipts.glob("*/receipts/0*.json")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    cluster.remove_node(nodes[0], allow_graceful=False)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    (path,) = (cli.home / "cache" / "caches").iterdir()
    assert verify(path).ok and digest(path) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1'"),
        ("nowhere", "is not the address of a Ray cluster"),
    ],
)
def test_a_cluster_that_is_not_there_is_reported_at_once(
    cli: Cli, videos: Path, address: str, message: str
) -> None:
    """Ray itself would wait for ever."""
    assert message in cli.error(*RAY, "--root", videos, "--cut", "4", "--ray-address", address)


@pytest.mark.slow
def test_a_cluster_that_wants_a_token_says_so(cli: Cli, videos: Path) -> None:
    """Newer Rays guard a cluster with a token as soon as one lies in ~/.ray.

    The error said only that it cannot be reached.
    """
    with ray_head({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "6" * 64}) as address:
        cli.environment |= {**UNGUARDED, "RAY_gcs_server_port_wait_time_s": "4"}  # Ray tries 20 s
        message = cli.error(*RAY, "--root", videos, "--cut", "4", "--ray-address", address)
    assert (
        f"the Ray cluster at '{address}' requires its token: set RAY_AUTH_MODE=token, and "
        "RAY_AUTH_TOKEN" in message
    )


class Silent(socketserver.BaseRequestHandler):
    """Takes a connection and says nothing."""

    def handle(self) -> None:
        self.request.recv(1)
        time.sleep(5)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (http.server.SimpleHTTPRequestHandler, "is not a Ray cluster; give the address that"),
        (Silent, r"\(timed out\)"),
    ],
)
def test_a_server_that_is_not_ray_is_reported(
    handler: type[socketserver.BaseRequestHandler], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself would wait for ever."""
    monkeypatch.setattr(ray_session, "CONNECT_TIMEOUT", 1)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with (
            pytest.raises(StructAlignError, match=message),
            ray_session.ray_session(f"127.0.0.1:{server.server_address[1]}"),
        ):
            pass
        server.shutdown()

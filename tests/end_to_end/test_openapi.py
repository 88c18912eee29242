"""The OpenAPI document is true: schemathesis sends what it allows and what it forbids."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.cli import QUICK, Cli
from helpers.server import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("schemathesis") is None, reason="no schemathesis here"),
]
# A real clip. No schema says that a file must be a video.
CONFIG = """
[[operations]]
include-path-regex = "^/api/clips"
parameters = {{ "path.name" = "{clip}" }}

[[operations]]
include-name = "POST /api/search"
checks.positive_data_acceptance.expected-statuses = [200, 422]
"""


def test_schemathesis_finds_no_untruth(shared: Cli, tmp_path: Path) -> None:
    shared.json("train", *QUICK, "--method", "zeroshot", "--out", tmp_path / "run")
    with serving(shared, tmp_path / "run", "--token", "hush") as server:
        hits = server.ask("/api/search?q=a", Authorization="Bearer hush").json["results"]
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(clip=hits[0]["clip"]))
        command = (
            f"{sys.executable} -m schemathesis.cli --config-file {tmp_path / 'schemathesis.toml'} "
            f"run {server.url}/openapi.json --seed 1 --generation-deterministic --no-color "
            "--phases coverage,fuzzing --max-examples 8 -H"
        ).split()
        done = subprocess.run(
            [*command, "Authorization: Bearer hush"],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert "8 selected" in done.stdout and "Missing test data" not in done.stdout

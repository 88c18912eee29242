"""What can go wrong on a GPU and can be tried without one: mixed devices, generators, waits."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import ROOT
from structalign.cache import FeatureCache
from structalign.train.methods.registry import method_names

# Names that differ from another in settings alone.
SAME_CODE = {
    "crp-only", "etf-only", "structalign-no-ffa", "structalign-pretrained",
    "framefusionmoe-released",
}  # fmt: skip
RELEASED = "structalign-released"  # its choice of an epoch measures the test set at every epoch
METHODS = [
    f"{name}:selection=last" if name == RELEASED else name
    for name in method_names()
    if name not in SAME_CODE
]
WAITS = """
from structalign.train.methods.finetune import Finetune


class Waits(Finetune):
    def losses(self, batch):
        terms = super().losses(batch)
        float(terms["contrastive"].detach())
        return terms
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> dict[str, dict[str, Any]]:
    """What every verb gave with every method, by device."""
    folder = tmp_path_factory.mktemp("devices")
    own = folder / "waits.py"
    own.write_text(WAITS)

    def run(device: str) -> dict[str, Any]:
        (folder / device).mkdir()
        command = [sys.executable, "-m", "helpers.on_pretend_gpu", device, str(folder / device)]
        ended = subprocess.run(
            [*command, str(videos), *METHODS, str(own)], cwd=ROOT / "tests",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return dict(json.loads(ended.stdout))

    with ThreadPoolExecutor(2) as pool:
        gpu, cpu = pool.map(run, ("gpu", "cpu"))
    return {"gpu": gpu, "cpu": cpu}


def test_the_same_cache_comes_from_it(done: dict[str, dict[str, Any]]) -> None:
    assert done["gpu"]["fingerprints"] == done["cpu"]["fingerprints"]
    gpu, cpu = (FeatureCache.open(done[device]["cache"]) for device in ("gpu", "cpu"))
    ids = [clip.id for clip in cpu.catalog]
    assert np.allclose(gpu.tokens(ids), cpu.tokens(ids), atol=5e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_gives_the_figures_of_the_cpu(
    method: str, done: dict[str, dict[str, Any]]
) -> None:
    """Trained, stopped, resumed, grown, evaluated, searched by words and by a video."""
    gpu, cpu = (done[device]["methods"][method] for device in ("gpu", "cpu"))
    assert gpu["matrix"] == cpu["matrix"]
    assert gpu["found"] == cpu["found"] and gpu["alike"] == cpu["alike"]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_waits_for_the_device_inside_a_step(
    method: str, done: dict[str, dict[str, Any]]
) -> None:
    assert done["gpu"]["methods"][method]["waited"] == []


def test_a_wait_inside_a_step_would_be_noticed(done: dict[str, dict[str, Any]]) -> None:
    [waits] = (body for name, body in done["gpu"]["methods"].items() if name.endswith("waits.py"))
    assert len(waits["waited"]) == 1 and "_local_scalar_dense" in waits["waited"][0]

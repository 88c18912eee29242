"""What can go wrong on a GPU and can be tried without one: mixed devices, generators, waits."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.every_verb import every_verb
from helpers.methods import WITH_CODE_OF_THEIR_OWN as METHODS
from structalign.cache import FeatureCache

WAITS = """
from structalign.train.methods.finetune import Finetune


class Waits(Finetune):
    def losses(self, batch):
        terms = super().losses(batch)
        float(terms["contrastive"].detach())
        return terms
"""

pytestmark = pytest.mark.slow(60)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> dict[str, dict[str, Any]]:
    """What every verb gave with every method, by device."""
    folder = tmp_path_factory.mktemp("devices")
    own = folder / "waits.py"
    own.write_text(WAITS)

    def run(device: str) -> dict[str, Any]:
        return every_verb(device, folder / device, videos, [*METHODS, str(own)])

    with ThreadPoolExecutor(2) as pool:
        gpu, cpu = pool.map(run, ("gpu", "cpu"))
    return {"gpu": gpu, "cpu": cpu}


def test_every_method_on_a_device_that_is_not_the_cpu(done: dict[str, dict[str, Any]]) -> None:
    """The CPU's cache, figures and found clips, and no wait inside a step; a real one is noticed.

    One test, since its parts on several test processes would each make all runs again.
    """
    for name in ("fingerprints", "stem"):
        assert done["gpu"][name] == done["cpu"][name]
    gpu, cpu = (FeatureCache.open(done[device]["cache"]) for device in ("gpu", "cpu"))
    ids = [clip.id for clip in cpu.catalog]
    assert np.allclose(gpu.tokens(ids), cpu.tokens(ids), atol=5e-3)
    on_gpu, on_cpu = (done[device]["methods"] for device in ("gpu", "cpu"))
    for name in ("matrix", "found", "alike"):
        assert {m: on_gpu[m][name] for m in METHODS} == {m: on_cpu[m][name] for m in METHODS}
    assert not [line for method in METHODS for line in on_gpu[method]["waited"]]
    [deliberate] = (body["waited"] for name, body in on_gpu.items() if name.endswith("waits.py"))
    assert len(deliberate) == 1 and "_local_scalar_dense" in deliberate[0]

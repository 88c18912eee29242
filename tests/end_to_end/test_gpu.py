"""Every verb with every method on a real GPU; ``make gpu`` runs it, and sends its report."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.every_verb import every_verb
from helpers.methods import WITH_CODE_OF_THEIR_OWN as METHODS
from structalign.cache import FeatureCache

pytestmark = [
    pytest.mark.slow,
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


def test_every_method_on_a_gpu(videos: Path, tmp_path: Path) -> None:
    """The CPU's cache and zero-shot figures; what is learnt draws other noise there."""
    gpu, cpu = (
        every_verb(device, tmp_path / device, videos, METHODS) for device in ("cuda", "cpu")
    )
    assert gpu["fingerprints"] == cpu["fingerprints"] and gpu["stem"] == cpu["stem"]
    there, here = (FeatureCache.open(one["cache"]) for one in (gpu, cpu))
    ids = [clip.id for clip in here.catalog]
    assert np.allclose(there.tokens(ids), here.tokens(ids), atol=5e-3)
    for name in METHODS:
        on_gpu, on_cpu = (
            np.array(one["methods"][name]["matrix"], dtype=float) for one in (gpu, cpu)
        )
        assert np.array_equal(np.isnan(on_gpu), np.isnan(on_cpu)), name
        assert np.allclose(on_gpu[0], on_cpu[0], atol=10, equal_nan=True), name

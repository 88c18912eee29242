"""A process that computes on the CPU reuses freed memory, and refuses wrong matrix products."""

import subprocess
import sys

import pytest
import torch
from structalign.core.device import check_products
from structalign.core.errors import StructAlignError

FAULTS = """
import resource, sys, torch
from structalign.core.device import keep_freed_memory
took_effect = keep_freed_memory() if sys.argv[1] == "kept" else True
def graph():
    x = torch.ones(12_000_000)  # 48 MB, above glibc's own limit
    y = x + 1
    return float((y * x).sum())
for _ in range(5):
    graph()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    graph()
print(took_effect, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

DECORD_FIRST = """
import decord
import torch
from structalign.backbones.backbone import load_backbone
from structalign.core.device import check_products
load_backbone("demo", "random:0")
check_products()
a, b = torch.ones(600, 768), torch.ones(768, 600)
print("right" if bool(((a @ b) == 768).all()) else "wrong")
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_reused_without_page_faults() -> None:
    faults = {}
    for how in ("default", "kept"):
        took_effect, count = run(FAULTS, how).stdout.split()
        assert took_effect == "True"
        faults[how] = int(count)
    # Rarely no freed gap is large enough for a tensor, and the heap grows.
    assert faults["kept"] * 4 < faults["default"], faults


def test_right_products_pass() -> None:
    check_products()


def test_a_product_that_was_not_computed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: torch.zeros(len(a), b.shape[1]))
    with pytest.raises(StructAlignError, match="import torch before decord"):
        check_products()


@pytest.mark.slow
def test_decord_before_torch_never_silently_computes_wrong_products() -> None:
    """decord2 loads every CUDA library it finds, one of which answers to BLAS's names.

    Observed: crashes, and products that were not computed.
    """
    done = run(DECORD_FIRST)
    crashed, refused = done.returncode < 0, "import torch before decord" in done.stderr
    assert crashed or refused or done.stdout.strip() == "right", done

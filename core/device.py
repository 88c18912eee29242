"""The device to compute on, and the set-up of a process that computes on the CPU."""

import ctypes

import torch

from .errors import StructAlignError

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt(3)


def prepare_cpu() -> None:
    """Make this process keep freed memory, and check its matrix products."""
    keep_freed_memory()
    check_products()


def keep_freed_memory() -> bool:
    """Make glibc serve large tensors from its heap; False where there is another C library.

    By default the kernel maps and zeroes every tensor above 32 MB, which takes a tenth of the time
    of a ViT-B/32 training step. Memory then stays at its peak.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):
        return False
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))


def check_products() -> None:
    """Raise StructAlignError if products are wrong: decord imported first replaces torch's BLAS."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(512, 768, generator=generator), torch.randn(768, 512, generator=generator)
    error = float(((a @ b)[:2] - (a[:2, :, None] * b).sum(1)).abs().max())
    # Entries are about 28 in size; one that was not computed is off by that, bfloat16 by under 1.
    if not error < 1:
        raise StructAlignError(
            "matrix products are wrong in this process: another BLAS has replaced torch's; "
            "import torch before decord"
        )


def resolve_device(name: str) -> torch.device:
    """cpu, cuda (StructAlignError if torch sees none), or auto: CUDA where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise StructAlignError("--device cuda: torch sees no CUDA device; use --device cpu")
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")

"""The device to compute on, and the CPU set-up of a process."""

import ctypes

import torch

from .errors import StructAlignError

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt(3)


def prepare_cpu() -> None:
    """Keep freed memory; verify that matrix products are right.

    Raises:
        StructAlignError: they are wrong in this process.
    """
    keep_freed_memory()
    check_products()


def keep_freed_memory() -> bool:
    """Make glibc serve large tensors from its heap and keep freed memory.

    By default every tensor above 32 MB is mapped and zeroed by the kernel anew, a tenth of the
    time of a ViT-B/32 training step. Memory then stays at its peak. True where it took effect;
    another C library is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):
        return False
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))


def check_products() -> None:
    """Check one matrix product: decord imported before torch replaces its BLAS by a broken one."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(512, 768, generator=generator), torch.randn(768, 512, generator=generator)
    error = float(((a @ b)[:2] - (a[:2, :, None] * b).sum(1)).abs().max())
    # A product is about 28; a missing one is wrong by as much, one in bfloat16 by less than 1.
    if not error < 1:
        raise StructAlignError(
            "matrix products are wrong in this process: another BLAS has replaced torch's; "
            "import torch before decord"
        )


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        StructAlignError: CUDA is asked for and missing.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise StructAlignError("--device cuda: torch sees no CUDA device; use --device cpu")
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")

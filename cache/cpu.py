"""What a process that computes on the CPU needs first."""

import ctypes

import torch

from cache.errors import StructAlignError

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt(3)


def prepare_cpu() -> None:
    """Keep freed memory; prove that matrix products are right.

    Raises:
        StructAlignError: they are wrong in this process.
    """
    keep_freed_memory()
    check_products()


def keep_freed_memory() -> bool:
    """Tell glibc to serve large tensors from its heap and to keep what is freed; the process's memory then stays at its peak.

    By default every tensor above 32 MB is mapped anew and zeroed by the kernel, page by page: of a ViT-B/32 training step that was a tenth of
    the time. True where it took effect; another C library is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):
        return False
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))


def check_products() -> None:
    """One matrix product against its sums. With decord imported before torch, another library answers for BLAS and products are left undone."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(512, 768, generator=generator), torch.randn(768, 512, generator=generator)
    error = float(((a @ b)[:2] - (a[:2, :, None] * b).sum(1)).abs().max())
    if not error < 1:  # a product is about 28; one left undone is wrong by as much, one in bfloat16 by less than 1
        raise StructAlignError("matrix products are wrong in this process: another BLAS has replaced torch's; import torch before decord")

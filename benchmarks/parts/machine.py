"""What this machine can do at best, measured where it is needed."""

import torch

from .table import in_turn


def gemm_rate(inner: int = 512, dtype: torch.dtype = torch.float32) -> float:
    """Matrix products on the CPU, in floating-point operations a second, with the threads that
    torch now has: the best of three shapes.
    """
    rates = []
    for rows, columns in ((1024, 1024), (4096, 768), (2048, 2048)):
        a, b, out = (
            torch.randn(rows, inner).to(dtype),
            torch.randn(inner, columns).to(dtype),
            torch.empty(rows, columns, dtype=dtype),
        )
        taken = in_turn(5, {"gemm": lambda a=a, b=b, out=out: torch.mm(a, b, out=out)})["gemm"]  # type: ignore[misc]
        rates.append(2 * rows * inner * columns / taken)
    return max(rates)


def bfloat16_gain() -> float:
    """How many times faster matrix products are in bfloat16.

    Below 1 on a CPU without units for it.
    """
    return gemm_rate(dtype=torch.bfloat16) / gemm_rate()


def peak_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Matrix products on ``device``, in floating-point operations a second; large ones on a GPU."""
    if device.type == "cpu":
        return gemm_rate(dtype=dtype)
    a, b = torch.randn(2, 8192, 8192, device=device).to(dtype)
    return 2 * 8192**3 / in_turn(10, {"gemm": lambda: a @ b})["gemm"]

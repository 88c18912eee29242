"""The peak rates of this machine."""

import torch

from .table import in_turn


def gemm_rate(inner: int = 512, dtype: torch.dtype = torch.float32) -> float:
    """Rate of float matrix products on the CPU, in operations a second: the best of three shapes.

    Uses as many threads as torch is set to.
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

    Below 1 on a CPU without bfloat16 units.
    """
    return gemm_rate(dtype=torch.bfloat16) / gemm_rate()


def peak_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Rate of matrix products on ``device``, in operations a second; of large ones on a GPU."""
    if device.type == "cpu":
        return gemm_rate(dtype=dtype)
    a, b = torch.randn(2, 8192, 8192, device=device).to(dtype)
    return 2 * 8192**3 / in_turn(10, {"gemm": lambda: a @ b})["gemm"]

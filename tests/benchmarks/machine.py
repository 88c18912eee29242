"""What this machine can do at best, measured where it is needed."""

import torch

from tests.benchmarks.table import in_turn


def gemm_rate(inner: int = 512) -> float:
    """float32 matrix products, in floating-point operations a second, with the threads that torch now has: the best of three shapes."""
    rates = []
    for rows, columns in ((1024, 1024), (4096, 768), (2048, 2048)):
        a, b, out = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
        taken = in_turn(5, {"gemm": lambda a=a, b=b, out=out: torch.mm(a, b, out=out)})["gemm"]  # type: ignore[misc]
        rates.append(2 * rows * inner * columns / taken)
    return max(rates)

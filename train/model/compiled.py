"""A tower's block, forward and backward, as a few fused kernels (``torch.compile``)."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from ...core.errors import StructAlignError

P = ParamSpec("P")

# Variants of one block function: routes, frames, the last block, parity; sizes are symbols. Where
# torch has no such option, its limit of 8 for each function is enough for a run.
LIMITS = {"recompile_limit": 64, "isolate_recompiles": True}


def compiled(block: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """``block`` compiled at its first call, once for all sizes. Calls raise StructAlignError."""
    accepted = inspect.signature(torch.compile).parameters
    options: dict[str, Any] = {name: value for name, value in LIMITS.items() if name in accepted}
    fused = torch.compile(block, fullgraph=True, dynamic=True, **options)

    @wraps(block)
    def apply(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        try:
            return fused(*args, **kwargs)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise StructAlignError(
                f"setting compile=true: torch cannot compile here ({reason}); leave the setting out"
            ) from error

    return apply

"""Learning-rate factors over the steps of one task."""

import math
from typing import Literal


def learning_rate_factor(
    step: int, total: int, warmup: int, shape: Literal["half_cosine", "full_cosine"]
) -> float:
    """Factor for optimizer step ``step`` (0-based) of ``total``.

    ``half_cosine``: linear warm-up that starts above 0, then half a cosine to 0. ``full_cosine``
    is the official code's: the first of ``warmup`` steps has factor 0, and the cosine makes a full
    turn, back to 1.
    """
    if shape == "full_cosine":
        if step < warmup:
            return step / max(1, warmup)
        progress = (step - warmup) / max(1, total - warmup)
        return max(0.0, 0.5 * (1 + math.cos(2 * math.pi * progress)))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

"""One seed, many independent streams of random numbers."""

import hashlib

import torch


def generator(seed: int, purpose: str, task: int = 0) -> torch.Generator:
    """A separate CPU generator for each (seed, purpose, task).

    Draws for one purpose never shift those for another.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{task}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

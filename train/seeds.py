"""One seed, many independent streams of random numbers."""

import hashlib

import torch


def generator(seed: int, purpose: str, task: int = 0) -> torch.Generator:
    """A CPU generator for each (seed, purpose, task): draws for one never shift another's."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{task}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

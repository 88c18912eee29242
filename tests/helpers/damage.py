"""Damaging a cache all over, to see that verify finds it."""

import random
from pathlib import Path

from structalign.cache.verify import verify


def damage_all_over(copy: Path, flips: int, cuts: int, seed: int) -> list[str]:
    """Flip single bytes and cut off ends in every file in turn; returns what was not found."""
    rng = random.Random(seed)
    files = sorted(file for file in copy.rglob("*") if file.is_file())
    small = [file for file in files if file.parent == copy or file.name == "zarr.json"]
    unnoticed = []
    for n in range(flips + cuts):
        file = small[n % len(small)] if n % 2 else rng.choice(files)
        body = file.read_bytes()
        if n < flips:
            at = rng.randrange(len(body))
            changed = bytearray(body)
            changed[at] ^= rng.randrange(1, 256)
            what = f"{file.name} byte {at}"
        else:
            changed = bytearray(body[: rng.randrange(len(body))])
            what = f"{file.name} cut to {len(changed)} of {len(body)}"
        file.write_bytes(changed)
        if verify(copy).ok:
            unnoticed.append(what)
        file.write_bytes(body)
    assert verify(copy).ok
    return unnoticed

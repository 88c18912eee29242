"""Every float16 is told rightly."""

import numpy as np
from structalign.cache.tokens import all_finite


def test_of_all_float16() -> None:
    everything = np.arange(2**16, dtype=np.uint16).view(np.float16)
    told = [all_finite(everything[place : place + 1]) for place in range(len(everything))]
    assert np.array_equal(told, np.isfinite(everything))


def test_one_among_many_and_none_at_all() -> None:
    tokens = np.zeros((3, 4, 5), np.float16)
    assert all_finite(tokens) and all_finite(tokens[:0])
    for bad in (np.inf, -np.inf, np.nan):
        tokens[2, 3, 4] = bad
        assert not all_finite(tokens)

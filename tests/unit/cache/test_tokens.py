"""Every float16 is told rightly."""

import io

import numpy as np
import pytest
from structalign.cache.tokens import all_finite, parse_token_checksums


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


def test_checksums_that_claim_a_huge_shape_or_header() -> None:
    """A few bytes asked for terabytes: MemoryError."""
    whole = io.BytesIO()
    np.save(whole, np.zeros((3, 2), "<u4"))
    assert parse_token_checksums(whole.getvalue(), 3, 2).shape == (3, 2)
    for shape in ((10**15, 2), (3, 2, 10**15), (3,), (10**30, 2)):
        huge = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            huge, {"descr": "<u4", "fortran_order": False, "shape": shape}
        )
        with pytest.raises(ValueError, match=r"checksums|array"):
            parse_token_checksums(huge.getvalue() + bytes(24), 3, 2)
    for body in (b"", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", whole.getvalue()[:-1],
                 b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10000):  # fmt: skip
        with pytest.raises(ValueError, match=r"checksums|array"):
            parse_token_checksums(body, 3, 2)

"""The simplex ETF is exact."""

import pytest
import torch
from structalign.cache.runtime.errors import StructAlignError
from structalign.train.methods.structalign.simplex import simplex_etf


@pytest.mark.parametrize(
    ("classes", "dim"), [(2, 1), (2, 16), (3, 2), (17, 16), (20, 128), (200, 512)]
)
def test_equal_angles_and_unit_length(classes: int, dim: int) -> None:
    e = simplex_etf(classes, dim, torch.Generator().manual_seed(1))
    assert e.shape == (classes, dim) and e.dtype == torch.float32
    gram = e.double() @ e.double().T
    wanted = torch.full_like(gram, -1 / (classes - 1)).fill_diagonal_(1)
    assert (gram - wanted).abs().max() < 1e-6


def test_more_classes_than_fit() -> None:
    with pytest.raises(StructAlignError, match="does not exist in 16 dimensions"):
        simplex_etf(18, 16, torch.Generator())


def test_the_generator_decides() -> None:
    def draw(seed: int) -> torch.Tensor:
        return simplex_etf(5, 8, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(3), draw(3))
    assert not torch.allclose(draw(3), draw(4))
    before = torch.get_rng_state()
    draw(5)
    assert torch.equal(before, torch.get_rng_state())

"""The simplex ETF is exact."""

import pytest
import torch
from structalign.core.errors import StructAlignError
from structalign.train.methods.structalign.simplex import grow_directions, simplex_etf


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


def test_directions_beyond_the_simplex_are_spread_and_do_not_move() -> None:
    full = simplex_etf(33, 32, torch.Generator().manual_seed(0))
    grown = grow_directions(full, 60)
    assert torch.equal(grown[:33], full) and torch.equal(grow_directions(full, 45), grown[:45])
    assert torch.allclose(grown.norm(dim=1), torch.ones(60), atol=1e-5)
    assert torch.equal(grow_directions(full, 12), full)
    nearest = (grown @ grown.T - 2 * torch.eye(60)).amax(1)[33:]
    at_random = torch.nn.functional.normalize(
        torch.randn(27, 32, generator=torch.Generator().manual_seed(1)), dim=1
    )
    chance = (at_random @ full.T).amax(1)
    assert float(nearest.max()) < 0.5 * float(chance.min()), "far from all others"


def test_after_a_simplex_of_known_classes_there_is_room_at_right_angles() -> None:
    known = simplex_etf(4, 32, torch.Generator().manual_seed(0))
    grown = grow_directions(known, 8)
    assert float((grown[4:] @ grown.T - 2 * torch.eye(8)[4:]).max()) < 0.01

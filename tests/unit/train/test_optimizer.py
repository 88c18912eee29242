"""The optimizer by its formula, one parameter and one row after another.

What the fast one is compared with.
"""

import math

import torch
from structalign.train.optimizer import BETAS, EPS, ExpertAdamW
from torch import Tensor, nn

LR, DECAY = 0.01, 0.5


class PlainAdamW:
    """One parameter or one row.

    P -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt v + eps), then p -= lr wd p.
    """

    def __init__(self, p: Tensor) -> None:
        self.p, self.m, self.v, self.t = p, torch.zeros_like(p), torch.zeros_like(p), 0

    def step(self, g: Tensor, lr: float) -> None:
        self.t += 1
        self.m = BETAS[0] * self.m + (1 - BETAS[0]) * g
        self.v = BETAS[1] * self.v + (1 - BETAS[1]) * g * g
        size = lr * math.sqrt(1 - BETAS[1] ** self.t) / (1 - BETAS[0] ** self.t)
        self.p -= size * self.m / (self.v.sqrt() + EPS)
        self.p -= lr * DECAY * self.p


def test_skipped_parameters_and_rows() -> None:
    """A parameter without gradient, and a row whose gradient is zero, keep value, moments and
    count; what is chosen again continues to count.
    """
    g = torch.Generator().manual_seed(0)
    whole = [nn.Parameter(torch.randn(5, 3, generator=g)) for _ in range(3)]
    stacks = [nn.Parameter(torch.randn(4, 6, 3, 2, generator=g)) for _ in range(2)]
    optimizer = ExpertAdamW(
        [([*whole[:2], *stacks], LR), ([whole[2]], 10 * LR)], DECAY, set(stacks)
    )
    plain = [PlainAdamW(p.detach().clone()) for p in whole]
    rows = [
        [[PlainAdamW(row.detach().clone()) for row in slot] for slot in stack] for stack in stacks
    ]
    for turn in range(6):
        factor = 1 - 0.1 * turn
        for index, p in enumerate(whole):
            p.grad = torch.randn(p.shape, generator=g) if (turn + index) % 3 else None
            if p.grad is not None:
                plain[index].step(p.grad, factor * (10 * LR if index == 2 else LR))
        for index, p in enumerate(stacks):
            chosen = torch.rand(4, 6, generator=g) < 0.25
            p.grad = torch.randn(p.shape, generator=g) * chosen[:, :, None, None]
            for slot, expert in chosen.nonzero().tolist():
                rows[index][slot][expert].step(p.grad[slot, expert], factor * LR)
        optimizer.step(factor)
        optimizer.zero_grad()
    for p, expected in zip(whole, plain, strict=True):
        assert torch.allclose(p, expected.p, rtol=1e-6, atol=1e-7)
        assert float(optimizer.state[p][2]) == expected.t
    for p, by_row in zip(stacks, rows, strict=True):
        m, v, t = optimizer.state[p]
        # some never, some more often than others
        assert {row.t for slot in by_row for row in slot} > {0, 1}
        for slot, of_slot in enumerate(by_row):
            for expert, row in enumerate(of_slot):
                assert torch.allclose(p[slot, expert], row.p, rtol=1e-6, atol=1e-7)
                assert torch.allclose(
                    m[slot, expert], row.m, rtol=1e-6, atol=1e-7
                ) and torch.allclose(v[slot, expert], row.v, rtol=1e-6, atol=1e-7)
                assert int(t[slot, expert]) == row.t
                if not row.t:
                    assert torch.equal(p[slot, expert], row.p)


def test_a_gradient_of_zeros_is_a_gradient() -> None:
    """Of a parameter that is not rowwise: it decays."""
    p = nn.Parameter(torch.ones(3))
    optimizer = ExpertAdamW([([p], LR)], DECAY, set())
    p.grad = torch.zeros(3)
    optimizer.step(1.0)
    assert torch.allclose(p, torch.full((3,), 1 - LR * DECAY))

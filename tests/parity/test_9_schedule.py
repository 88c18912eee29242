"""Topic 9: the released learning-rate schedule."""

import torch
from helpers.golden import Golden, close
from structalign.train.schedule import learning_rate_factor


def test_full_cosine(golden: Golden) -> None:
    for name, share in (("task1", 0.1), ("later", 0.0)):
        expected = golden.get("9_schedule", name)
        total = len(expected) - 1
        found = [
            learning_rate_factor(step, total, int(share * total), "full_cosine")
            for step in range(total + 1)
        ]
        close(torch.tensor(found, dtype=torch.float64), expected)

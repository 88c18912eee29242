"""Topic 9: the official learning-rate schedule."""

import re

import torch
from helpers.golden import Golden, close
from structalign.train.optimizer import learning_rate_factor

FILE = "9_schedule"


def test_full_cosine(golden: Golden) -> None:
    for name in ("task1", "later"):
        expected = golden.get(FILE, name)
        warmup = re.search(r"(\d+) warm-up steps", golden.meaning(FILE, name))
        assert warmup is not None
        total = len(expected) - 1
        factors = [
            learning_rate_factor(step, total, int(warmup[1]), "full_cosine")
            for step in range(total + 1)
        ]
        close(torch.tensor(factors, dtype=torch.float64), expected)

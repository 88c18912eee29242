"""Sentences of MSR-VTT's length for benchmarks: 5 to 16 words, mean about 9."""

import random

WORDS = [
    "a", "man", "woman", "girl", "boy", "dog", "cat", "person", "team", "people", "is", "are",
    "was", "playing", "singing", "cooking",
    "running", "talking", "showing", "driving", "riding", "walking", "in", "on", "with", "at",
    "the", "of", "to", "and", "guitar", "car",
    "kitchen", "food", "game", "horse", "street", "park", "song", "music", "ball", "computer",
    "screen", "water", "hair", "about",
    "another", "while", "from", "into",
]  # fmt: skip


def sentences(count: int, seed: int = 0) -> list[str]:
    """``count`` random sentences, determined by the seed."""
    rng = random.Random(seed)
    return [
        " ".join(rng.choices(WORDS, k=min(16, max(5, round(rng.gauss(9.4, 2.8))))))
        for _ in range(count)
    ]

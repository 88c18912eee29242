"""Why a clip was found: the frame that fits each word best, and the word that fits each frame."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..train.model.towers import TextFeatures

Words = list[tuple[str, slice]]  # each word of a query, and where its tokens are


@dataclass(frozen=True)
class WordMatch:
    """A word of the query, a frame (from 1), and the mean cosine of the word's tokens to it."""

    word: str
    frame: int
    cosine: float


@dataclass(frozen=True)
class Explanation:
    """The frame that fits the query best (from 1), and the word matches of one clip.

    ``matches``: the best frame for each word of the query, ``frame_words``: the best word for each
    frame; empty for a method that compares whole clips.
    """

    frame: int = 1
    matches: tuple[WordMatch, ...] = ()
    frame_words: tuple[WordMatch, ...] = ()


def explain(text: TextFeatures, words: Words, embeddings: Tensor) -> Explanation:
    """The word matches of one query and one clip's stored embeddings, float32 [N, D]."""
    frames = F.normalize(embeddings, dim=-1)
    tokens = F.normalize(text.words[0, : int(text.lengths[0])], dim=-1).cpu()
    cosines = frames @ tokens.T
    by_word = torch.stack([cosines[:, where].mean(1) for _, where in words], 1)  # [N, words]
    names = [word for word, _ in words]
    best_frames, best_words = by_word.max(0), by_word.max(1)
    matches = (
        WordMatch(name, int(frame) + 1, float(cosine))
        for name, frame, cosine in zip(names, best_frames.indices, best_frames.values, strict=True)
    )
    frame_words = (
        WordMatch(names[int(word)], frame, float(cosine))
        for frame, (word, cosine) in enumerate(zip(*reversed(best_words), strict=True), 1)
    )
    return Explanation(int(cosines.mean(1).argmax()) + 1, tuple(matches), tuple(frame_words))

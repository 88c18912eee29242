"""The formula of word-frame similarity, slow and plain."""

import torch
from structalign.train.model.similarity import _unit
from torch import Tensor


def word_frame_similarity_reference(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Word-frame similarity by its formula, pair by pair: slow, for tests of the fast path."""
    frames = _unit(frames)
    words = _unit(words).to(frames.dtype)
    rows = []
    for video in frames:
        row = []
        for text, length in zip(words, lengths.tolist(), strict=True):
            scores = video @ text[:length].T
            both = scores.amax(0).mean() + scores.amax(1).mean() if length else scores.sum()
            row.append(0.5 * both)
        rows.append(torch.stack(row))
    return torch.stack(rows).float()

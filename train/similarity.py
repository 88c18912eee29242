"""Similarities between videos and captions.

Shape letters: V videos, T texts, N frames, L words, D joint width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TILE_BYTES = 64 * 2**20


def word_frame_similarity(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Word-frame similarity s(v, t) = 1/2 (mean_j max_n <f_n, w_j> + mean_n max_j <f_n, w_j>) of unit vectors.

    Works in tiles of texts, so that memory beyond inputs and output stays small. StructAlign's word-frame similarity.

    Args:
        frames: float [V, N, D], of any norm.
        words: float [T, L, D], of any norm, padded; what lies beyond ``lengths`` is ignored.
        lengths: int [T], words of each text.

    Returns:
        float32 [V, T]; 0 where a text has no words. Differentiable in frames and words.
    """
    frames = _unit(frames)
    words = _unit(words).to(frames.dtype)
    lengths = lengths.to(words.device)
    videos, count = frames.shape[:2]
    if not len(words) or not videos:
        return frames.new_zeros(videos, len(words), dtype=torch.float32)
    tile = max(1, TILE_BYTES // (4 * videos * count * max(1, words.shape[1])))
    parts = [_tile(frames, w, n) for w, n in zip(words.split(tile), lengths.split(tile), strict=True)]
    return torch.cat(parts, dim=1).float()


def _tile(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    videos, count, width = frames.shape
    longest = max(1, int(lengths.max()))
    words = words[:, :longest]
    scores = (frames.reshape(-1, width) @ words.reshape(-1, width).T).view(videos, count, len(words), longest)
    real = torch.arange(longest, device=words.device) < lengths[:, None]
    best_frame = (scores.amax(1) * real).sum(-1) / lengths.clamp(min=1)
    best_word = scores.masked_fill(~real, -torch.inf).amax(-1)
    best_word = torch.where(lengths > 0, best_word, 0.0).mean(1)
    return 0.5 * (best_frame + best_word)


def word_frame_similarity_reference(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """The same by the formula, one pair at a time: slow, obvious, and what the fast path is tested against."""
    frames = _unit(frames)
    words = _unit(words).to(frames.dtype)
    rows = []
    for video in frames:
        row = []
        for text, length in zip(words, lengths.tolist(), strict=True):
            scores = video @ text[:length].T
            row.append(0.5 * (scores.amax(0).mean() + scores.amax(1).mean()) if length else scores.sum())
        rows.append(torch.stack(row))
    return torch.stack(rows).float()


def global_similarity(frames: Tensor, texts: Tensor) -> Tensor:
    """<unit text, unit mean of unit frames>: frames [V, N, D], texts [T, D] to [V, T]."""
    return _unit(_unit(frames).mean(1)) @ _unit(texts).T


def fused_similarity(word_frame: Tensor, global_: Tensor) -> Tensor:
    """0.5 z(WF) + 0.5 z(G), both [T, V]; z per row (text) over all columns, population deviation, at least 1e-6."""
    return 0.5 * _standard(word_frame) + 0.5 * _standard(global_)


def _standard(scores: Tensor) -> Tensor:
    deviation = scores.std(dim=1, keepdim=True, correction=0).clamp(min=1e-6)
    return (scores - scores.mean(dim=1, keepdim=True)) / deviation


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=-1, eps=1e-8)

"""Similarities between videos and captions.

Shape letters: V videos, T texts, N frames, L words, D joint width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TILE_BYTES = {"cpu": 2 * 2**20, "cuda": 256 * 2**20}  # scores of one tile: on a CPU they should stay in its cache
TILE_TEXTS = 32


def word_frame_similarity(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Word-frame similarity s(v, t) = 1/2 (mean_j max_n <f_n, w_j> + mean_n max_j <f_n, w_j>) of unit vectors.

    Works in tiles of texts of like length and videos, so that memory beyond inputs and output stays small and little is computed for
    padding. StructAlign's word-frame similarity.

    Args:
        frames: float [V, N, D], of any norm.
        words: float [T, L, D], of any norm, padded; what lies beyond ``lengths`` is ignored.
        lengths: int [T], words of each text.

    Returns:
        float32 [V, T]; 0 where a text has no words. Differentiable in frames and words.
    """
    best_frame, best_word = directed_similarities(frames, words, lengths)
    return 0.5 * (best_frame + best_word)


def directed_similarities(frames: Tensor, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of word-frame similarity, each float32 [V, T]: mean_j max_n and mean_n max_j of <f_n, w_j>; arguments as there."""
    frames = _unit(frames)
    lengths = lengths.to(words.device)
    videos, count = frames.shape[:2]
    if not len(words) or not videos or not words.shape[1]:
        nothing = frames.new_zeros(videos, len(words), dtype=torch.float32)
        return nothing, nothing
    order = lengths.argsort(stable=True)
    columns = []
    for texts in order.split(TILE_TEXTS):
        packed, share = _packed(words[texts], lengths[texts])
        packed = _unit(packed).to(frames.dtype)
        tile = max(1, TILE_BYTES[frames.device.type] // (frames.element_size() * count * packed.shape[0] * packed.shape[1]))
        columns.append(torch.cat([_tile(part, packed, share) for part in frames.split(tile)], dim=1))
    best_frame, best_word = torch.cat(columns, dim=2)[:, :, order.argsort()].float()
    return best_frame, best_word


def _packed(words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Words of a tile's texts [L, T, D], a text's last word repeated to the longest's length, which changes no maximum; and each word's
    share in its text's mean [L, T]."""
    longest = max(1, int(lengths.max()))
    place = torch.arange(longest, device=words.device)[:, None]
    index = torch.minimum(place, (lengths - 1).clamp(min=0))
    packed = words[torch.arange(len(words), device=words.device), index]
    return packed, (place < lengths) / lengths.clamp(min=1)


def _tile(frames: Tensor, words: Tensor, share: Tensor) -> Tensor:
    """frames [V, N, D], words [L, T, D] to [2, V, T]: both directions from one product."""
    videos, count, width = frames.shape
    longest, texts = words.shape[:2]
    scores = (frames.reshape(-1, width) @ words.reshape(-1, width).T).view(videos, count, longest, texts)
    best_frame = (scores.amax(1) * share).sum(1)
    best_word = scores.amax(2).mean(1) * (share[0] > 0)
    return torch.stack([best_frame, best_word])


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

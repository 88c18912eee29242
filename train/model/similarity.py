"""Similarities between V videos of N frames and T texts of L words; D is the joint width."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# Texts of one tile and bytes of its scores, which should fit into a CPU's cache.
CPU_TILE = (32, 2 * 2**20)
DEVICE_TILE = (128, 256 * 2**20)
SLAB_VIDEOS = 1024  # videos compared at a time
DIRECTIONS = ("word_to_frame", "frame_to_word")  # the halves of word-frame similarity


def word_frame_similarity(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Word-frame similarity 1/2 (mean_j max_n <f_n, w_j> + mean_n max_j <f_n, w_j>), unit vectors.

    Frames [V, N, D] and words [T, L, D] are floats of any norm, ``lengths`` int [T]; what lies
    beyond them is padding. Float32 [V, T], differentiable; 0 where a text has no words. Computed in
    tiles of videos and texts of like length, so that memory beyond inputs and output stays small
    and little is computed for padding (StructAlign, SIGIR 2026).
    """
    rows = []
    for part in frames.split(SLAB_VIDEOS):
        halves = _by_length(part, words, lengths)
        rows.append(_in_order([0.5 * (frame + word) for frame, word in halves], lengths))
    return torch.cat(rows)


def directed_similarities(frames: Tensor, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The two directions of word-frame similarity, which is half their sum; same arguments.

    mean_j max_n <f_n, w_j> (word to frame), mean_n max_j <f_n, w_j>: each float32 [V, T].
    """
    word_to_frame, frame_to_word = [], []
    for part in frames.split(SLAB_VIDEOS):
        best_frame, best_word = zip(*_by_length(part, words, lengths), strict=True)
        word_to_frame.append(_in_order(best_frame, lengths))
        frame_to_word.append(_in_order(best_word, lengths))
    return torch.cat(word_to_frame), torch.cat(frame_to_word)


def _by_length(frames: Tensor, words: Tensor, lengths: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both halves [V, T'] for the texts ordered by length, one group of texts at a time."""
    if not len(frames) or not len(words) or not words.shape[1]:
        nothing = frames.new_zeros(len(frames), len(words), dtype=torch.float32)
        yield nothing, nothing
        return
    frames, lengths, count = _unit(frames), lengths.to(words.device), frames.shape[1]
    tile_texts, tile_bytes = CPU_TILE if frames.device.type == "cpu" else DEVICE_TILE
    groups = lengths.argsort(stable=True).split(tile_texts)
    for texts, longest in zip(groups, _longest(words, lengths, groups), strict=True):
        packed, share = _packed(words[texts], lengths[texts], longest)
        packed = _unit(packed).to(frames.dtype)
        of_video = frames.element_size() * count * packed.shape[0] * packed.shape[1]
        tile = max(1, tile_bytes // of_video)
        tiles = [_best(part, packed) for part in frames.split(tile)]
        of_words, of_frames = (torch.cat(best) for best in zip(*tiles, strict=True))
        yield (of_words * share).sum(1), of_frames.mean(1) * (share[0] > 0)
        del tiles, of_words, of_frames  # before the next group's are made


def _in_order(columns: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """Join columns ordered by length in the texts' own order, float32 [V, T]."""
    back = lengths.argsort(stable=True).argsort().to(columns[0].device)
    return torch.cat(tuple(columns), dim=1)[:, back].float()


def _longest(words: Tensor, lengths: Tensor, groups: Sequence[Tensor]) -> list[int]:
    """Words of each group's longest text; all of a single group on a device: reading would wait."""
    if len(groups) == 1 and words.device.type != "cpu":
        return [words.shape[1]]
    return lengths[torch.stack([texts[-1] for texts in groups])].clamp(min=1).tolist()


def _packed(words: Tensor, lengths: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Words of a tile's texts [L, T, D], and each word's share in its text's mean [L, T].

    A text's last word is repeated up to the longest text, which changes no maximum.
    """
    position = torch.arange(longest, device=words.device)[:, None]
    inside = position < lengths
    last = words[torch.arange(len(words), device=words.device), (lengths - 1).clamp(min=0)]
    # Not indexed with repeats, whose gradient threads would add up in a varying order.
    packed = torch.where(inside[..., None], words[:, :longest].transpose(0, 1), last)
    return packed, inside / lengths.clamp(min=1)


def _best(frames: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Each word's best frame [V, L, T] and each frame's best word [V, N, T], from one product."""
    videos, count, width = frames.shape
    longest, texts = words.shape[:2]
    product = frames.reshape(-1, width) @ words.reshape(-1, width).T
    scores = product.view(videos, count, longest, texts)
    return scores.amax(1), scores.amax(2)


def global_similarity(frames: Tensor, texts: Tensor) -> Tensor:
    """<unit text, unit mean of unit frames>: frames [V, N, D], texts [T, D] to [V, T]."""
    return _unit(_unit(frames).mean(1)) @ _unit(texts).T


def fused_similarity(similarities: Sequence[Tensor], weight: float = 0.5) -> Tensor:
    """weight z(WF) + (1 - weight) z(G) of two similarities [T, V], the protocol's fusion.

    z standardises each row (text) over all columns, with the population deviation, at least 1e-6.
    A single similarity is returned unchanged; of three or more the mean of z.
    """
    if len(similarities) == 1:
        return similarities[0]
    shares = fusion_shares(len(similarities), weight)
    standard = [
        (s - s.mean(dim=1, keepdim=True)) / deviation(s) * share
        for s, share in zip(similarities, shares, strict=True)
    ]
    return torch.stack(standard).sum(0)


def fusion_shares(count: int, weight: float) -> list[float]:
    """The weight of each of ``count`` similarities in the fused one: of two, ``weight`` first."""
    return [weight, 1 - weight] if count == 2 else [1 / count] * count


def deviation(scores: Tensor) -> Tensor:
    """Population standard deviation over the last dimension [..., V] -> [..., 1], at least 1e-6."""
    return scores.std(dim=-1, keepdim=True, correction=0).clamp(min=1e-6)


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=-1, eps=1e-8)

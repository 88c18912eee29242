"""Word-frame similarity.

The fast path equals the formula, in values and gradients, and never looks at padding.
"""

import pytest
import torch
from helpers.similarity import word_frame_similarity_reference
from structalign.train.model import similarity
from structalign.train.model.similarity import (
    fused_similarity,
    global_similarity,
    word_frame_similarity,
)


def sample(
    seed: int, videos: int = 5, frames: int = 4, texts: int = 7, words: int = 6, dim: int = 8
) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, words + 1, (texts,), generator=g)
    return (
        torch.randn(videos, frames, dim, generator=g),
        torch.randn(texts, words, dim, generator=g),
        lengths,
    )


@pytest.mark.parametrize("seed", range(5))
def test_values_and_gradients(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, words, lengths = sample(seed)
    monkeypatch.setattr(similarity, "SLAB_VIDEOS", 4)
    monkeypatch.setattr(similarity, "CPU_TILE", (2, 4 * 4 * 6 * 2 * 3))  # three videos a tile
    fast = [x.clone().requires_grad_() for x in (frames, words)]
    slow = [x.clone().requires_grad_() for x in (frames, words)]
    a = word_frame_similarity(fast[0], fast[1], lengths)
    b = word_frame_similarity_reference(slow[0], slow[1], lengths)
    assert torch.allclose(a, b, atol=1e-6)
    weights = torch.randn(a.shape, generator=torch.Generator().manual_seed(9))
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    for x, y in zip(fast, slow, strict=True):
        assert x.grad is not None and y.grad is not None
        assert torch.allclose(x.grad, y.grad, atol=1e-6)


def test_values_at_clip_s_width() -> None:
    frames, words, lengths = sample(3, videos=200, frames=24, texts=150, words=30, dim=512)
    error = word_frame_similarity(frames, words, lengths) - word_frame_similarity_reference(
        frames.double(), words.double(), lengths
    )
    assert float(error.abs().max()) <= 1e-5


def test_padding_is_never_read() -> None:
    frames, words, lengths = sample(0)
    changed = words.clone()
    for row, length in enumerate(lengths.tolist()):
        changed[row, length:] = 1e6
    assert torch.equal(
        word_frame_similarity(frames, words, lengths),
        word_frame_similarity(frames, changed, lengths),
    )


def test_norms_do_not_matter_and_empty_texts_score_zero() -> None:
    frames, words, lengths = sample(1)
    lengths[2] = 0
    scores = word_frame_similarity(frames, words, lengths)
    assert torch.allclose(
        scores, word_frame_similarity(frames * 7, words * 0.1, lengths), atol=1e-6
    )
    assert (scores[:, 2] == 0).all()
    assert (
        scores.dtype
        == word_frame_similarity(frames.double(), words.half(), lengths.int()).dtype
        == torch.float32
    )


def test_nothing_to_compare() -> None:
    frames, words, lengths = sample(1)
    assert word_frame_similarity(frames, words[:0], lengths[:0]).shape == (5, 0)
    assert word_frame_similarity(frames[:0], words, lengths).shape == (0, 7)


def test_global_and_fused() -> None:
    frames, words, _ = sample(2)
    g = global_similarity(frames, words[:, 0])
    assert g.shape == (5, 7) and float(g.abs().max()) <= 1 + 1e-6
    fused = fused_similarity([g.T, g.T])
    assert torch.allclose(fused.mean(1), torch.zeros(7), atol=1e-6)
    assert torch.allclose(fused.std(1, correction=0), torch.ones(7), atol=1e-5)
    assert torch.isfinite(fused_similarity([torch.ones(2, 3), torch.ones(2, 3)])).all()


def test_the_gradient_of_words_is_the_same_bytes_on_two_threads() -> None:
    """Repeated indices added up in any order: at this size 19 to 50 of 50 gradients differed."""
    g = torch.Generator().manual_seed(0)
    frames, words = torch.randn(32, 4, 64, generator=g), torch.randn(32, 16, 64, generator=g)
    lengths = torch.randint(3, 17, (32,), generator=g)

    def gradient() -> torch.Tensor:
        x = words.clone().requires_grad_()
        word_frame_similarity(frames, x, lengths).square().sum().backward()
        assert x.grad is not None
        return x.grad

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = gradient()
        assert all(torch.equal(gradient(), first) for _ in range(50))
    finally:
        torch.set_num_threads(threads)

"""Each word of a query points to the frame that fits it best, and each frame to a word."""

from itertools import pairwise

import pytest
import torch
from structalign.search.explanation import explain
from structalign.search.searcher import Searcher
from structalign.train.model.towers import TextFeatures


def test_words_and_frames_point_to_each_other() -> None:
    """Three tokens of two words: the cosine of a word is the mean over its tokens."""
    tokens = torch.eye(4)[None, :3]
    text = TextFeatures(words=tokens, lengths=torch.tensor([3]), text=torch.zeros(1, 4))
    frames = torch.tensor([[1.0, 0, 0, 0], [0, 3.0, 4.0, 0]])
    explanation = explain(text, [("red", slice(0, 1)), ("ball", slice(1, 3))], frames)
    assert explanation.frame == 2
    for matches in (explanation.matches, explanation.frame_words):
        assert [(match.word, match.frame) for match in matches] == [("red", 1), ("ball", 2)]
        assert [match.cosine for match in matches] == pytest.approx([1.0, 0.7])


def test_a_word_is_put_together_from_its_tokens(searcher: Searcher) -> None:
    query = "a hyperparallelogram spins!"
    ids = searcher.method.tokenize([query])[0]
    end = int(ids.argmax())
    words = searcher.method.tokenizer.words(ids[1:end].tolist())
    assert [word for word, _ in words] == ["a", "hyperparallelogram", "spins", "!"]
    spans = [where for _, where in words]
    assert spans[0].start == 0 and spans[-1].stop == end - 1 > len(words)
    assert all(a.stop == b.start for a, b in pairwise(spans))


def test_search_explains_every_clip(searcher: Searcher) -> None:
    for result in searcher.search("a small red ball moves left", 100):
        words = [match.word for match in result.matches]
        assert words == ["a", "small", "red", "ball", "moves", "left"]
        assert [match.frame for match in result.frame_words] == [1, 2, 3, 4]
        matches = (*result.matches, *result.frame_words)
        assert all(1 <= match.frame <= 4 and -1 <= match.cosine <= 1 for match in matches)
        best = max(match.cosine for match in result.matches)
        assert best == pytest.approx(max(match.cosine for match in result.frame_words))

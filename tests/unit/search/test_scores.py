"""A score is the protocol's fused similarity, and its addends sum to it."""

import pytest
import torch
from structalign.search.parts import Part
from structalign.search.scores import Similarities, compare_query, standardise
from structalign.search.searcher import Searcher
from structalign.train.model import similarity
from structalign.train.model.similarity import (
    fused_similarity,
    global_similarity,
    word_frame_similarity,
)
from torch import Tensor

QUERIES = ("a small red ball moves left", "two blue squares spin", "a star")


def drawn(names: tuple[str, ...], clips: int = 50) -> Similarities:
    rng = torch.Generator().manual_seed(0)
    values = {name: torch.randn(clips, generator=rng) for name in names}
    if "word_to_frame" in values:
        values["word_frame"] = 0.5 * (values["word_to_frame"] + values["frame_to_word"])
    return values


@pytest.mark.parametrize(
    "names",
    [
        ("word_frame", "global", "word_to_frame", "frame_to_word"),
        ("word_frame", "global"),
        ("first", "second", "third"),
        ("global",),
        ("word_frame", "word_to_frame", "frame_to_word"),
    ],
)
@pytest.mark.parametrize("weight", [0.5, 0.1])
def test_scores_are_fused_and_their_addends_sum_to_them(
    names: tuple[str, ...], weight: float
) -> None:
    values = drawn(names)
    scores, addends = standardise(values, values, weight)
    fused = [values[name][None] for name in names if name not in similarity.DIRECTIONS]
    assert torch.allclose(scores, fused_similarity(fused, weight)[0], atol=1e-5)
    assert torch.allclose(torch.stack(list(addends.values())).sum(0), scores, atol=1e-5)
    halves = {"word_to_frame", "frame_to_word"} & set(names)
    assert set(addends) == set(names) - ({"word_frame"} if halves else set())


def test_scores_and_ranks_are_those_of_the_two_similarities_computed_apart(
    searcher: Searcher,
) -> None:
    """Word-frame similarity was computed as a whole for the score, and again by direction."""
    method = searcher.method
    for query in QUERIES:
        ids = method.tokenize([query])

        def compare(parts: list[Part], ids: Tensor = ids) -> Tensor:
            blocks = [part.block for part in parts]
            texts = [method.encode_texts(ids, block.task) for block in blocks]
            pairs = [(b.embeddings, t) for b, t in zip(blocks, texts, strict=True)]
            word_frame = [word_frame_similarity(x, t.words, t.lengths)[:, 0] for x, t in pairs]
            whole_clip = [global_similarity(x, t.text)[:, 0] for x, t in pairs]
            return torch.stack([torch.cat(word_frame), torch.cat(whole_clip)])

        statistics, values = compare(searcher.evaluated), compare(searcher.searched)
        mean, deviation = statistics.mean(1), statistics.std(1, correction=0)
        expected = ((values - mean[:, None]) / deviation[:, None]).mean(0)
        clips = [clip for part in searcher.searched for clip in part.block.clips]
        order = expected.argsort(descending=True).tolist()
        results = searcher.search(query, len(clips))
        assert [result.clip.id for result in results] == [clips[index] for index in order]
        scores = torch.tensor([result.score for result in results])
        assert torch.allclose(scores, expected[order], atol=1e-5)


def test_words_and_frames_are_multiplied_once_a_query(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    multiplied = 0
    best = similarity._best

    def counted(frames: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal multiplied
        multiplied += len(frames)
        return best(frames, words)

    monkeypatch.setattr(similarity, "_best", counted)
    searcher.search("a small red ball", 3)
    assert multiplied == len(searcher) == 32


def test_word_frame_similarity_is_half_the_sum_of_its_directions(searcher: Searcher) -> None:
    block, method = searcher.evaluated[0].block, searcher.method
    text = method.encode_texts(method.tokenize([QUERIES[0]]), block.task)
    values = compare_query(method, text, block.embeddings)
    whole = word_frame_similarity(block.embeddings, text.words, text.lengths)[:, 0]
    assert torch.equal(values["word_frame"], whole)
    assert torch.equal(0.5 * (values["word_to_frame"] + values["frame_to_word"]), whole)

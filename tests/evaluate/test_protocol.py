"""Scores of a stage: the same in pieces as at once, for a pair alone as in a crowd; fresh blocks take the place of stored ones."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from cache.backbone import load_backbone
from evaluate.protocol import stage_scores
from train import similarity
from train.database import Block
from train.model import Model
from train.settings import Settings
from train.similarity import global_similarity, word_frame_similarity
from train.stream import Queries

TEXTS = [
    "a red star", "there is a small hollow green circle at the top left on striped grey ground", "a cross", "two blue rings",
    "look at a large yellow square that moves to the right", "a star and a ring",
]  # fmt: skip


def frames(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, 3, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture(scope="module")
def learnt() -> Model:
    model = Model(load_backbone("demo", "demo"), Settings(rank=4, experts=3), 3, torch.Generator().manual_seed(0))
    for experts in model.text.experts:
        experts.up.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr, operator]
    return model


def tasks(model: Model) -> tuple[list[Block], list[Queries]]:
    ids = load_backbone("demo", "demo").tokenizer()(TEXTS)
    parts = [slice(0, 2), slice(2, 3), slice(3, 6)]
    queries = [Queries(tuple(TEXTS[part]), ids[part], torch.arange(len(TEXTS[part]))) for part in parts]
    return [Block(q.clips, frames(len(q.clips), model.dim, n)) for n, q in enumerate(queries)], queries


def test_pieces_equal_the_whole(learnt: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    database, queries = tasks(learnt)
    whole = stage_scores(learnt, database, queries, [1, 2, 3]).stored
    monkeypatch.setattr(similarity, "TILE_TEXTS", 1)
    monkeypatch.setattr(similarity, "TILE_BYTES", {"cpu": 1})  # one video a tile
    encode = learnt.encode_text
    monkeypatch.setattr(learnt, "encode_text", lambda ids, task, adapted=True: encode(ids, task, adapted, batch=1))
    assert torch.allclose(stage_scores(learnt, database, queries, [1, 2, 3]).stored, whole, atol=1e-4)


def test_each_block_is_compared_by_its_own_path(learnt: Model) -> None:
    """A column of task p comes from the captions encoded with prototype p, whoever's captions they are."""
    database, queries = tasks(learnt)
    changed = {1: stage_scores(learnt, database, queries, [1, 2, 3]).stored}
    text = [learnt.encode_text(torch.cat([q.ids for q in queries]), task) for task in (1, 2, 3)]
    word_frame = torch.cat([word_frame_similarity(b.frames, t.words, t.lengths).T for b, t in zip(database, text, strict=True)], 1)
    global_ = torch.cat([global_similarity(b.frames, t.text).T for b, t in zip(database, text, strict=True)], 1)
    expected = similarity.fused_similarity(word_frame, global_)
    assert torch.allclose(changed[1], expected, atol=1e-5)
    assert not torch.allclose(stage_scores(learnt, database, queries, [1, 2, 2]).stored, expected, atol=1e-3)


def test_a_fresh_block_replaces_the_stored_one_for_its_own_captions_alone(learnt: Model) -> None:
    database, queries = tasks(learnt)
    fresh = replace(database[1], frames=frames(1, learnt.dim, 99))
    scores = stage_scores(learnt, database, queries, [1, 2, 3], {2: fresh})
    assert torch.equal(scores.stored, stage_scores(learnt, database, queries, [1, 2, 3]).stored)
    swapped = stage_scores(learnt, [database[0], fresh, database[2]], queries, [1, 2, 3]).stored
    assert set(scores.reencoded) == {2}
    assert torch.allclose(scores.reencoded[2], swapped[2:3, 2:3], atol=1e-5)
    same = stage_scores(learnt, database, queries, [1, 2, 3], {3: database[2]})
    assert torch.allclose(same.reencoded[3], same.stored[3:, 3:], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=8), st.lists(st.integers(0, 6), min_size=1, max_size=7), st.data())
def test_a_pair_scores_the_same_in_any_company(learnt: Model, texts: list[int], videos: list[int], data: st.DataObject) -> None:
    """Word-frame and global similarity of one caption and one video do not depend on what stands beside them."""
    ids = load_backbone("demo", "demo").tokenizer()(TEXTS)
    gallery = frames(7, learnt.dim, 5)
    crowd = learnt.encode_text(ids[texts], 2)
    t, v = data.draw(st.integers(0, len(texts) - 1)), data.draw(st.integers(0, len(videos) - 1))
    alone = learnt.encode_text(ids[texts[t]][None], 2)
    one = gallery[videos[v]][None]
    together = word_frame_similarity(gallery[videos], crowd.words, crowd.lengths)[v, t]
    assert float((together - word_frame_similarity(one, alone.words, alone.lengths)[0, 0]).abs()) < 1e-5
    assert float((global_similarity(gallery[videos], crowd.text)[v, t] - global_similarity(one, alone.text)[0, 0]).abs()) < 1e-5

"""Scores of a stage: tiling and company change nothing, re-encoded blocks replace stored ones."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers.galleries import TEXTS, random_frames, three_tasks
from helpers.methods import adapted
from hypothesis import given, settings
from hypothesis import strategies as st
from structalign.backbones.backbone import load_backbone
from structalign.evaluate.protocol import stage_scores
from structalign.train.gallery import Gallery
from structalign.train.methods import base
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.model import similarity, towers
from structalign.train.model.similarity import global_similarity, word_frame_similarity


@pytest.fixture(scope="module")
def learnt() -> AdaptedMethod:
    return adapted(load_backbone("demo", "demo"), 3)


def test_pieces_equal_the_whole(learnt: AdaptedMethod, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, queries = three_tasks(learnt)
    whole = stage_scores(learnt, gallery, queries).stored
    monkeypatch.setattr(similarity, "CPU_TILE", (1, 1))  # one text, one video
    one_by_one = partial(towers.encode_by_length, batch=1)
    monkeypatch.setattr(base, "encode_by_length", one_by_one)
    assert torch.allclose(stage_scores(learnt, gallery, queries).stored, whole, atol=1e-4)


def test_each_block_is_compared_by_its_own_path(learnt: AdaptedMethod) -> None:
    """A column of task p comes from the captions encoded with prototype p, whoever's they are."""
    gallery, queries = three_tasks(learnt)
    text = [
        learnt.encode_texts(torch.cat([q.token_ids for q in queries]), task) for task in (1, 2, 3)
    ]
    pairs = list(zip(gallery.blocks, text, strict=True))
    word_frame = torch.cat(
        [word_frame_similarity(b.embeddings, t.words, t.lengths).T for b, t in pairs], 1
    )
    global_ = torch.cat([global_similarity(b.embeddings, t.text).T for b, t in pairs], 1)
    expected = similarity.fused_similarity([word_frame, global_])
    assert torch.allclose(stage_scores(learnt, gallery, queries).stored, expected, atol=1e-5)
    standard = [(s - s.mean(1, keepdim=True)) / s.std(1, keepdim=True, correction=0)
                for s in (word_frame, global_)]  # fmt: skip
    learnt.settings = replace(learnt.settings, fusion_weight=0.25)
    weighted = stage_scores(learnt, gallery, queries).stored
    learnt.settings = replace(learnt.settings, fusion_weight=0.5)
    assert torch.allclose(weighted, 0.25 * standard[0] + 0.75 * standard[1], atol=1e-4)
    assert not torch.allclose(weighted, expected, atol=1e-2)
    other = Gallery([*gallery.blocks[:2], replace(gallery.blocks[2], task=2)])
    assert not torch.allclose(stage_scores(learnt, other, queries).stored, expected, atol=1e-3)


def test_a_reencoded_block_replaces_the_stored_one_for_its_own_captions_alone(
    learnt: AdaptedMethod,
) -> None:
    gallery, queries = three_tasks(learnt)
    fresh = replace(gallery.blocks[1], stored=random_frames(1, learnt.towers.dim, 99))
    scores = stage_scores(learnt, gallery, queries, {2: fresh})
    assert torch.equal(scores.stored, stage_scores(learnt, gallery, queries).stored)
    other = Gallery([gallery.blocks[0], fresh, gallery.blocks[2]])
    swapped = stage_scores(learnt, other, queries).stored
    assert set(scores.reencoded) == {2}
    assert torch.allclose(scores.reencoded[2], swapped[2:3, 2:3], atol=1e-5)
    same = stage_scores(learnt, gallery, queries, {3: gallery.blocks[2]})
    assert torch.allclose(same.reencoded[3], same.stored[3:, 3:], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=8),
    st.lists(st.integers(0, 6), min_size=1, max_size=7),
    st.data(),
)
def test_a_pair_scores_the_same_in_any_company(
    learnt: AdaptedMethod, texts: list[int], videos: list[int], data: st.DataObject
) -> None:
    """Similarities of one caption and one video do not depend on the others in the batch."""
    ids = load_backbone("demo", "demo").tokenizer()(TEXTS)
    gallery = random_frames(7, learnt.towers.dim, 5)
    crowd = learnt.encode_texts(ids[texts], 2)
    t, v = data.draw(st.integers(0, len(texts) - 1)), data.draw(st.integers(0, len(videos) - 1))
    alone = learnt.encode_texts(ids[texts[t]][None], 2)
    one = gallery[videos[v]][None]
    together = word_frame_similarity(gallery[videos], crowd.words, crowd.lengths)[v, t]
    assert (
        float((together - word_frame_similarity(one, alone.words, alone.lengths)[0, 0]).abs())
        < 3e-5
    )
    assert (
        float(
            (
                global_similarity(gallery[videos], crowd.text)[v, t]
                - global_similarity(one, alone.text)[0, 0]
            ).abs()
        )
        < 3e-5
    )

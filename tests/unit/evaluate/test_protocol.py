"""Scores of a stage.

The same in pieces as at once, for a pair alone as in a crowd; fresh blocks take the place of stored
ones.
"""

from dataclasses import replace

import pytest
import torch
from helpers.methods import adapted
from hypothesis import given, settings
from hypothesis import strategies as st
from structalign.backbones.backbone import load_backbone
from structalign.evaluate.protocol import stage_scores
from structalign.evaluate.zero_shot import ZeroShotScores
from structalign.train.gallery import Block, Gallery
from structalign.train.methods import base
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.model import similarity, towers
from structalign.train.model.similarity import global_similarity, word_frame_similarity
from structalign.train.stream import Queries
from torch import Tensor
from torch.nn import functional as F

TEXTS = [
    "a red star", "there is a small hollow green circle at the top left on striped grey ground",
    "a cross", "two blue rings",
    "look at a large yellow square that moves to the right", "a star and a ring",
]  # fmt: skip


def frames(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(
        torch.randn(count, 3, dim, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


@pytest.fixture(scope="module")
def learnt() -> AdaptedMethod:
    return adapted(load_backbone("demo", "demo"), 3)


def tasks(method: AdaptedMethod) -> tuple[Gallery, list[Queries]]:
    ids = load_backbone("demo", "demo").tokenizer()(TEXTS)
    parts = [slice(0, 2), slice(2, 3), slice(3, 6)]
    queries = [
        Queries(tuple(TEXTS[part]), ids[part], torch.arange(len(TEXTS[part]))) for part in parts
    ]
    dim = method.towers.dim
    blocks = [Block(n + 1, q.clips, frames(len(q.clips), dim, n)) for n, q in enumerate(queries)]
    return Gallery(blocks), queries


def test_pieces_equal_the_whole(learnt: AdaptedMethod, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, queries = tasks(learnt)
    whole = stage_scores(learnt, gallery, queries).stored
    monkeypatch.setattr(similarity, "CPU_TILE", (1, 1))  # one text, one video
    encode = towers.encode_by_length
    one_by_one = lambda *arguments: encode(*arguments, batch=1)  # noqa: E731
    monkeypatch.setattr(base, "encode_by_length", one_by_one)
    assert torch.allclose(stage_scores(learnt, gallery, queries).stored, whole, atol=1e-4)


def test_each_block_is_compared_by_its_own_path(learnt: AdaptedMethod) -> None:
    """A column of task p comes from the captions encoded with prototype p, whoever's they are."""
    gallery, queries = tasks(learnt)
    text = [learnt.encode_texts(torch.cat([q.ids for q in queries]), task) for task in (1, 2, 3)]
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
    gallery, queries = tasks(learnt)
    fresh = replace(gallery.blocks[1], embeddings=frames(1, learnt.towers.dim, 99))
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
    """Word-frame and global similarity of one caption and one video do not depend on what stands
    beside them.
    """
    ids = load_backbone("demo", "demo").tokenizer()(TEXTS)
    gallery = frames(7, learnt.towers.dim, 5)
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


def test_zero_shot_scores_that_grow_are_the_scores_of_each_stage(learnt: AdaptedMethod) -> None:
    gallery, queries = tasks(learnt)
    growing, zero_shot = ZeroShotScores(), learnt.pretrained
    for count, (block, own) in enumerate(zip(gallery.blocks, queries, strict=True), 1):
        growing.add(zero_shot, own, block)
        wanted = stage_scores(zero_shot, Gallery(gallery.blocks[:count]), queries[:count])
        assert torch.allclose(growing.all(), wanted.stored, atol=1e-5)
        assert torch.allclose(growing.texts(), wanted.text, atol=1e-5)
        rows, columns = len(own.ids), len(block.clips)
        assert torch.allclose(growing.newest(), wanted.stored[-rows:, -columns:], atol=1e-5)
        alone = stage_scores(zero_shot, Gallery([block]), [own]).stored
        assert torch.allclose(growing.alone(), alone, atol=1e-5)


def test_zero_shot_encodes_every_caption_once(
    learnt: AdaptedMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = base.encode_by_length

    def counted(work: object, ids: Tensor, *rest: object, **more: object) -> object:
        encoded.append(len(ids))
        return encode(work, ids, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(base, "encode_by_length", counted)
    gallery, queries = tasks(learnt)
    growing = ZeroShotScores()
    for block, own in zip(gallery.blocks, queries, strict=True):
        growing.add(learnt.pretrained, own, block)
        growing.all()
    assert sum(encoded) == len(TEXTS)

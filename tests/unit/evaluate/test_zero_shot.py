"""Zero-shot scores that grow with the stream are those of each stage computed at once."""

import pytest
import torch
from helpers.galleries import TEXTS, three_tasks
from helpers.methods import adapted
from structalign.backbones.backbone import load_backbone
from structalign.evaluate.protocol import stage_scores
from structalign.evaluate.zero_shot import ZeroShotScores
from structalign.train.gallery import Gallery
from structalign.train.methods import base
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.model import towers
from torch import Tensor


@pytest.fixture(scope="module")
def learnt() -> AdaptedMethod:
    return adapted(load_backbone("demo", "demo"), 3)


def test_zero_shot_scores_that_grow_are_the_scores_of_each_stage(learnt: AdaptedMethod) -> None:
    gallery, queries = three_tasks(learnt)
    growing, zero_shot = ZeroShotScores(), learnt.pretrained
    for count, (block, own) in enumerate(zip(gallery.blocks, queries, strict=True), 1):
        growing.add(zero_shot, own, block)
        wanted = stage_scores(zero_shot, Gallery(gallery.blocks[:count]), queries[:count])
        assert torch.allclose(growing.all(), wanted.stored, atol=1e-5)
        assert torch.allclose(growing.texts(), wanted.text, atol=1e-5)
        rows, columns = len(own.token_ids), len(block.clips)
        assert torch.allclose(growing.newest(), wanted.stored[-rows:, -columns:], atol=1e-5)
        alone = stage_scores(zero_shot, Gallery([block]), [own]).stored
        assert torch.allclose(growing.alone(), alone, atol=1e-5)


def test_zero_shot_encodes_every_caption_once(
    learnt: AdaptedMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = towers.encode_by_length

    def counted(work: object, ids: Tensor, *rest: object, **more: object) -> object:
        encoded.append(len(ids))
        return encode(work, ids, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(base, "encode_by_length", counted)
    gallery, queries = three_tasks(learnt)
    growing = ZeroShotScores()
    for block, own in zip(gallery.blocks, queries, strict=True):
        growing.add(learnt.pretrained, own, block)
        growing.all()
    assert sum(encoded) == len(TEXTS)

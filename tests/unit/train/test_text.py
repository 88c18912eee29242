"""Which tokens are words; a caption's embeddings do not depend on its batch."""

from typing import cast

import pytest
import torch
from helpers.methods import make_method
from structalign.backbones.backbone import load_backbone
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.methods.structalign.official import official_padding, official_words
from structalign.train.model.adapters import TextExperts

CAPTIONS = [
    "a red star",
    "there is a small hollow green circle at the top left on striped grey ground with a blue ring",
    "look at a cross",
]


def model(words: str) -> tuple[AdaptedMethod, torch.Tensor]:
    backbone = load_backbone("demo", "demo")
    method = make_method("structalign", backbone, 2, rank=4, experts=3, words=words)
    assert isinstance(method, AdaptedMethod)
    for experts in method.experts:
        rng = torch.Generator().manual_seed(1)
        cast(TextExperts, experts).up.data.normal_(0, 0.1, generator=rng)
    return method, backbone.tokenizer()(CAPTIONS)


@pytest.mark.parametrize("task", [1, 2, None])
def test_a_caption_alone_is_the_caption_in_a_batch(task: int | None) -> None:
    built, ids = model("real")
    together = built.encode_texts(ids, task)
    assert together.lengths.tolist() == [len(caption.split()) for caption in CAPTIONS]
    for row in range(len(ids)):
        alone = built.encode_texts(ids[row : row + 1], task)
        length = int(alone.lengths[0])
        assert torch.allclose(alone.text[0], together.text[row], atol=1e-4)
        assert torch.allclose(alone.words[0, :length], together.words[row, :length], atol=1e-4)


def test_official_padding_counts_as_words() -> None:
    built, ids = model("released")
    padded = official_padding(ids)
    longest = max(len(caption.split()) for caption in CAPTIONS)
    assert torch.equal(padded.argmax(-1), ids.argmax(-1))
    assert built.encode_texts(padded, 2).lengths.tolist() == [longest] * 3
    assert built.encode_texts(padded[:1], 2).lengths.tolist() == [len(CAPTIONS[0].split())]
    assert int(official_words(ids)[0].sum()) == len(CAPTIONS[0].split())
    assert torch.allclose(
        built.encode_texts(padded, 2).text, built.encode_texts(ids, 2).text, atol=1e-4
    )

"""Which tokens are words, and that a caption's embeddings do not depend on what it is batched with."""

import pytest
import torch

from cache.backbone import load_backbone
from train.model import Model, released_padding, released_words
from train.settings import Settings

CAPTIONS = ["a red star", "there is a small hollow green circle at the top left on striped grey ground with a blue ring", "look at a cross"]


def model(words: str) -> tuple[Model, torch.Tensor]:
    backbone = load_backbone("demo", "demo")
    built = Model(backbone, Settings(rank=4, experts=3, words=words), 2, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    for experts in built.text.experts:
        experts.up.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr, operator]
    return built, backbone.tokenizer()(CAPTIONS)


@pytest.mark.parametrize("task", [1, 2, None])
def test_a_caption_alone_is_the_caption_in_a_batch(task: int | None) -> None:
    built, ids = model("real")
    together = built.encode_text(ids, task)
    assert together.lengths.tolist() == [len(caption.split()) for caption in CAPTIONS]
    for row in range(len(ids)):
        alone = built.encode_text(ids[row : row + 1], task)
        length = int(alone.lengths[0])
        assert torch.allclose(alone.text[0], together.text[row], atol=1e-4)
        assert torch.allclose(alone.words[0, :length], together.words[row, :length], atol=1e-4)


def test_released_padding_counts_as_words() -> None:
    built, ids = model("released")
    padded = released_padding(ids)
    longest = max(len(caption.split()) for caption in CAPTIONS)
    assert torch.equal(padded.argmax(-1), ids.argmax(-1))
    assert built.encode_text(padded, 2).lengths.tolist() == [longest] * 3
    assert built.encode_text(padded[:1], 2).lengths.tolist() == [len(CAPTIONS[0].split())]
    assert int(released_words(ids)[0].sum()) == len(CAPTIONS[0].split())
    assert torch.allclose(built.encode_text(padded, 2).text, built.encode_text(ids, 2).text, atol=1e-4)

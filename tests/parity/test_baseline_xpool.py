"""X-Pool's pooling against the official code: evaluation, training with its dropout, gradients."""

import math
from collections.abc import Callable
from typing import cast

import pytest
import torch
from helpers.baselines import arrays, needs_reference
from helpers.golden import close, close_gradient
from structalign.train.contrastive import contrastive
from structalign.train.methods.xpool import TextPooling, pooled_similarity
from structalign.train.model.adapters import Noise
from torch import Tensor
from torch.nn import functional as F

pytestmark = needs_reference
NAMES = {
    "cross_attn.q_proj": "query", "cross_attn.k_proj": "key", "cross_attn.v_proj": "value",
    "cross_attn.out_proj": "out", "linear_proj": "last", "layer_norm1": "norm1",
    "layer_norm2": "norm2", "layer_norm3": "norm3",
}  # fmt: skip


@pytest.fixture(scope="module")
def file() -> dict[str, Tensor]:
    return arrays("xpool")


def heads(file: dict[str, Tensor]) -> list[str]:
    return sorted({name.split(".")[0] for name in file if name.startswith("h")})


def pooling(file: dict[str, Tensor], set_: str) -> TextPooling:
    dim = file[f"{set_}.text"].shape[1]
    made = TextPooling(dim, int(set_[1:])).double()
    state = {}
    for theirs, ours in NAMES.items():
        for leaf in ("weight", "bias"):
            state[f"{ours}.{leaf}"] = file[f"{set_}.w.{theirs}.{leaf}"]
    made.load_state_dict(state)
    return made


class Recorded:
    """The recorded dropout."""

    def __init__(self, keep: Tensor) -> None:
        self.keep = keep

    def dropout_mask(self, shape: tuple[int, ...], like: Tensor, dropout: float) -> Tensor:
        assert shape == tuple(self.keep.shape)
        return self.keep


def test_evaluation(file: dict[str, Tensor]) -> None:
    for set_ in heads(file):
        text, frames = file[f"{set_}.text"], file[f"{set_}.frames"]
        pooled = pooling(file, set_)(text, frames)
        close(pooled, file[f"{set_}.eval.pooled"], 1e-9)
        close(pooled_similarity(text, pooled), file[f"{set_}.eval.sims"], 1e-9)


def test_training_with_dropout_and_every_gradient(file: dict[str, Tensor]) -> None:
    for set_ in heads(file):
        made = pooling(file, set_)
        frames = file[f"{set_}.frames"].clone().requires_grad_()
        text = file[f"{set_}.text"][: len(frames)].clone().requires_grad_()
        noise = cast(Noise, Recorded(file[f"{set_}.train.keep"]))
        pooled = made(text, frames, noise, 0.3)
        close(pooled, file[f"{set_}.train.pooled"], 1e-9)
        similarity = pooled_similarity(text, pooled)
        close(similarity, file[f"{set_}.train.sims"], 1e-9)
        loss = contrastive(similarity * file[f"{set_}.logit_scale"].exp()) / 2
        close(loss, file[f"{set_}.train.loss"], 1e-9)
        loss.backward()
        assert text.grad is not None and frames.grad is not None
        close_gradient(text.grad, file[f"{set_}.train.g_text"])
        close_gradient(frames.grad, file[f"{set_}.train.g_frames"])
        for theirs, ours in NAMES.items():
            for leaf in ("weight", "bias"):
                gradient = made.get_parameter(f"{ours}.{leaf}").grad
                assert gradient is not None
                expected = file[f"{set_}.train.g.{theirs}.{leaf}"]
                is_key_bias = (ours, leaf) == ("key", "bias")  # 0 but for rounding
                close(gradient, expected) if is_key_bias else close_gradient(gradient, expected)


def test_it_starts_with_identities(file: dict[str, Tensor]) -> None:
    text, frames = file["start.text"], file["start.frames"]
    close(TextPooling(text.shape[1], 1).double()(text, frames), file["start.pooled"])


MISTAKES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no scale of the logits": lambda m: m.setattr(math, "sqrt", lambda _: 1.0),
    "softmax over captions": lambda m: m.setattr(Tensor, "softmax", over_captions),
    "raw texts in the cosine": lambda m: m.setattr(F, "normalize", lambda x, dim: x),
}
softmax = Tensor.softmax


def over_captions(x: Tensor, dim: int) -> Tensor:
    return softmax(x, -2)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_formula_is_noticed(
    file: dict[str, Tensor], mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        MISTAKES[mistake](patch)
        with pytest.raises(AssertionError):
            test_evaluation(file)


def test_tiles_of_videos_are_the_whole(file: dict[str, Tensor]) -> None:
    text, frames = file["h1.text"], file["h1.frames"]
    made = pooling(file, "h1")
    parts = [pooled_similarity(text, made(text, part)) for part in frames.split(2)]
    close(torch.cat(parts, 1), file["h1.eval.sims"], 1e-9)

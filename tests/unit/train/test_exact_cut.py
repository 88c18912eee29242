"""The cut is exact.

From cached tokens the tail gives what the uncut tower gives from pixels, with the same adapters.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from helpers.methods import make_method
from structalign.backbones.backbone import Backbone, load_backbone
from structalign.backbones.split_weights import load_frozen, save_frozen
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.model.adapters import FrameFusion
from torch import Tensor, nn

FRAMES = 4


class UncutTower(nn.Module):
    """The whole vision tower from pixels, written plainly.

    Open_clip's own attention, every token of every block, adapters by formula.
    """

    def __init__(self, backbone: Backbone, adapters: nn.ModuleDict) -> None:
        super().__init__()
        self.visual, self.adapters = backbone.model.visual, adapters

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """[B, N, 3, S, S] to frame embeddings [B, N, D]."""
        batch, frames = pixels.shape[:2]
        x = self.visual._embeds(pixels.flatten(0, 1))
        for index, block in enumerate(self.visual.transformer.resblocks):
            normed = block.ln_1(x)
            attention = block.attn(normed, normed, normed, need_weights=False)[0]
            if str(index) in self.adapters:
                adapter = cast(FrameFusion, self.adapters[str(index)])
                cross = self.cross(adapter, normed.unflatten(0, (batch, frames)), index)
                attention = (1 - adapter.alpha) * attention + adapter.alpha * cross.flatten(0, 1)
            x = x + attention
            x = x + block.mlp(block.ln_2(x))
        return (self.visual.ln_post(x)[:, 0] @ self.visual.proj).unflatten(0, (batch, frames))

    def cross(self, adapter: FrameFusion, x: Tensor, index: int) -> Tensor:
        """softmax(Q(guide) K(frame)^T / sqrt d) V(frame), one frame after another."""
        wq, wk, wv = adapter.qkv_weight.chunk(3)
        bq, bk, bv = adapter.qkv_bias.chunk(3)
        out = torch.empty_like(x)
        for n in range(x.shape[1]):
            guide = max(n - 1, 0) if index % 2 == 0 else min(n + 1, x.shape[1] - 1)
            q, k, v = x[:, guide] @ wq.T + bq, x[:, n] @ wk.T + bk, x[:, n] @ wv.T + bv
            q, k, v = (y.unflatten(-1, (adapter.heads, -1)).transpose(1, 2) for y in (q, k, v))
            weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            out[:, n] = (weights @ v).transpose(1, 2).flatten(
                2
            ) @ adapter.out_weight.T + adapter.out_bias
        return out


@pytest.fixture(scope="module", params=["demo", "ViT-S-32-alt"])
def backbone(request: pytest.FixtureRequest) -> Iterator[Backbone]:
    yield load_backbone(request.param, "demo" if request.param == "demo" else "random:3")


def adapted_tail(backbone: Backbone, cut: int, adapted: int) -> AdaptedMethod:
    """A method whose frame fusion adapters have moved far from their start."""
    method = make_method(
        "finetune", replace(backbone, cut=cut), adapted_blocks=adapted, rank=4, experts=2
    )
    assert isinstance(method, AdaptedMethod)
    generator = torch.Generator().manual_seed(6)
    for parameter in method.frame_fusion.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    for name, parameter in method.frame_fusion.named_parameters():
        if name.endswith("alpha"):
            parameter.data = torch.rand(1, generator=generator) * 0.5 + 0.2
    return method


def test_tail_of_stem_is_the_uncut_tower(backbone: Backbone) -> None:
    size = backbone.preprocessing.size
    pixels = torch.randn(2, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(1))
    for cut in (0, 1, backbone.blocks // 2, backbone.blocks - 1):
        tail = adapted_tail(backbone, cut, backbone.blocks - cut)
        expected = UncutTower(backbone, tail.frame_fusion)(pixels)
        plain = UncutTower(backbone, nn.ModuleDict())(pixels)
        tokens = backbone.stem(cut)(pixels.flatten(0, 1)).unflatten(0, (2, FRAMES))
        with torch.no_grad():
            exact, cached = tail.frames(tokens), tail.frames(tokens.half())
        assert torch.allclose(exact, expected, rtol=1e-4, atol=2e-5 * float(expected.abs().max()))
        cosine = torch.cosine_similarity(cached, expected, dim=-1)
        assert float(cosine.min()) >= 0.9999
        assert float(torch.cosine_similarity(plain, expected, dim=-1).max()) < 0.999, (
            "the adapters must matter for this test to mean anything"
        )


def test_fewer_adapted_blocks_than_the_cut_allows(backbone: Backbone) -> None:
    size = backbone.preprocessing.size
    pixels = torch.randn(1, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(2))
    tail = adapted_tail(backbone, 1, 2)
    tokens = backbone.stem(1)(pixels.flatten(0, 1)).unflatten(0, (1, FRAMES))
    with torch.no_grad():
        assert torch.allclose(
            tail.frames(tokens),
            UncutTower(backbone, tail.frame_fusion)(pixels),
            rtol=1e-4,
            atol=1e-4,
        )


def test_frozen_part_survives_the_cache_folder(backbone: Backbone, tmp_path: Path) -> None:
    cut = 2
    size = backbone.preprocessing.size
    pixels = torch.randn(1, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(4))
    tokens = backbone.stem(cut)(pixels.flatten(0, 1)).unflatten(0, (1, FRAMES))
    save_frozen(backbone, cut, tmp_path)
    loaded = load_frozen(tmp_path, backbone.weights)
    first = make_method("finetune", replace(backbone, cut=cut), rank=4, experts=2)
    second = make_method("finetune", loaded, rank=4, experts=2)
    ids = backbone.tokenizer()(["a small red circle at the left", "there is a star"])
    with torch.no_grad():
        assert torch.equal(first.frames(tokens), second.frames(tokens))
        assert torch.equal(first.text_features(ids, 1).text, second.text_features(ids, 1).text)


def test_without_adapters_it_is_open_clip(backbone: Backbone) -> None:
    """Frame embeddings and captions equal open_clip's own encode_image and encode_text."""
    size = backbone.preprocessing.size
    pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(7))
    tokens = backbone.stem(2)(pixels)
    model = make_method("finetune", replace(backbone, cut=2), tasks=2, rank=4, experts=2)
    ids = backbone.tokenizer()(["a small red circle at the left", "there is a star"])
    with torch.no_grad():
        assert torch.allclose(
            model.pretrained.encode_frames(tokens[None])[0],
            backbone.model.encode_image(pixels),
            rtol=1e-4,
            atol=1e-4,
        )
        for task in (1, 2, None):
            assert torch.allclose(
                model.text_features(ids, task).text,
                backbone.model.encode_text(ids),
                rtol=1e-4,
                atol=1e-4,
            )

"""The cut is exact: from cached tokens the tail gives what the uncut tower gives from pixels, with the same adapters."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cache.backbone import Backbone, Stem, load_backbone
from cache.halves import load_frozen, save_frozen
from train.model import Model, VideoTail
from train.settings import Settings

FRAMES = 4


class UncutTower(nn.Module):
    """The whole vision tower from pixels, written plainly: open_clip's own attention, every token of every block, adapters by formula."""

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
                adapter = self.adapters[str(index)]
                cross = self.cross(adapter, normed.unflatten(0, (batch, frames)), index)
                attention = (1 - adapter.alpha) * attention + adapter.alpha * cross.flatten(0, 1)
            x = x + attention
            x = x + block.mlp(block.ln_2(x))
        return (self.visual.ln_post(x)[:, 0] @ self.visual.proj).unflatten(0, (batch, frames))

    def cross(self, adapter: nn.Module, x: Tensor, index: int) -> Tensor:
        """softmax(Q(guide) K(frame)^T / sqrt d) V(frame), one frame after another."""
        wq, wk, wv = adapter.qkv_weight.chunk(3)
        bq, bk, bv = adapter.qkv_bias.chunk(3)
        out = torch.empty_like(x)
        for n in range(x.shape[1]):
            guide = max(n - 1, 0) if index % 2 == 0 else min(n + 1, x.shape[1] - 1)
            q, k, v = x[:, guide] @ wq.T + bq, x[:, n] @ wk.T + bk, x[:, n] @ wv.T + bv
            q, k, v = (y.unflatten(-1, (adapter.heads, -1)).transpose(1, 2) for y in (q, k, v))
            weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            out[:, n] = (weights @ v).transpose(1, 2).flatten(2) @ adapter.out_weight.T + adapter.out_bias
        return out


@pytest.fixture(scope="module", params=["demo", "ViT-S-32-alt"])
def backbone(request: pytest.FixtureRequest) -> Iterator[Backbone]:
    yield load_backbone(request.param, "demo" if request.param == "demo" else "random:3")


def adapted_tail(backbone: Backbone, cut: int, adapted: int) -> VideoTail:
    """A tail whose adapters have moved far from their start."""
    tail = VideoTail(replace(backbone, cut=cut), Settings(adapted_blocks=adapted), torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(6)
    for parameter in tail.adapters.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    for name, parameter in tail.adapters.named_parameters():
        if name.endswith("alpha"):
            parameter.data = torch.rand(1, generator=generator) * 0.5 + 0.2
    return tail


def test_tail_of_stem_is_the_uncut_tower(backbone: Backbone) -> None:
    size = backbone.preprocessing.size
    pixels = torch.randn(2, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(1))
    for cut in (0, 1, backbone.blocks // 2, backbone.blocks - 1):
        tail = adapted_tail(backbone, cut, backbone.blocks - cut)
        expected = UncutTower(backbone, tail.adapters)(pixels)
        plain = UncutTower(backbone, nn.ModuleDict())(pixels)
        tokens = Stem(backbone, cut)(pixels.flatten(0, 1)).unflatten(0, (2, FRAMES))
        with torch.no_grad():
            exact, cached = tail(tokens), tail(tokens.half())
        assert torch.allclose(exact, expected, rtol=1e-4, atol=2e-5 * float(expected.abs().max()))
        cosine = torch.cosine_similarity(cached, expected, dim=-1)
        assert float(cosine.min()) >= 0.9999
        assert float(torch.cosine_similarity(plain, expected, dim=-1).max()) < 0.999, "the adapters must matter for this test to mean anything"


def test_fewer_adapted_blocks_than_the_cut_allows(backbone: Backbone) -> None:
    size = backbone.preprocessing.size
    pixels = torch.randn(1, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(2))
    tail = adapted_tail(backbone, 1, 2)
    tokens = Stem(backbone, 1)(pixels.flatten(0, 1)).unflatten(0, (1, FRAMES))
    with torch.no_grad():
        assert torch.allclose(tail(tokens), UncutTower(backbone, tail.adapters)(pixels), rtol=1e-4, atol=1e-4)


def test_frozen_part_survives_the_cache_folder(backbone: Backbone, tmp_path: Path) -> None:
    cut = 2
    size = backbone.preprocessing.size
    pixels = torch.randn(1, FRAMES, 3, size, size, generator=torch.Generator().manual_seed(4))
    tokens = Stem(backbone, cut)(pixels.flatten(0, 1)).unflatten(0, (1, FRAMES))
    save_frozen(backbone, cut, tmp_path)
    loaded = load_frozen(tmp_path)
    first = Model(replace(backbone, cut=cut), Settings(rank=4, experts=2), 2, torch.Generator().manual_seed(0))
    second = Model(loaded, Settings(rank=4, experts=2), 2, torch.Generator().manual_seed(0))
    ids = backbone.tokenizer()(["a small red circle at the left", "there is a star"])
    with torch.no_grad():
        assert torch.equal(first.video(tokens), second.video(tokens))
        assert torch.equal(first.text(ids, 1).text, second.text(ids, 1).text)


def test_without_adapters_it_is_open_clip(backbone: Backbone) -> None:
    """Frame embeddings and captions equal open_clip's own encode_image and encode_text."""
    size = backbone.preprocessing.size
    pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(7))
    tokens = Stem(backbone, 2)(pixels)
    model = Model(replace(backbone, cut=2), Settings(rank=4, experts=2), 2, torch.Generator().manual_seed(0))
    ids = backbone.tokenizer()(["a small red circle at the left", "there is a star"])
    with torch.no_grad():
        assert torch.allclose(model.video(tokens[None], adapted=False)[0], backbone.model.encode_image(pixels), rtol=1e-4, atol=1e-4)
        for task in (1, 2, None):
            assert torch.allclose(model.text(ids, task).text, backbone.model.encode_text(ids), rtol=1e-4, atol=1e-4)

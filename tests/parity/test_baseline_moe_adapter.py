"""MoE-Adapter against CTVR's towers and the official block: every path, training, gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
import torch
from helpers.baselines import HEADS, arrays, backbone, needs_reference
from helpers.golden import close, close_gradient
from helpers.methods import make_method
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from structalign.backbones.attention import attend, query_key_value
from structalign.train.methods.moe_adapter import AdapterMixture, MoEAdapter, MoEAdapterOptions
from structalign.train.model.adapters import Noise
from structalign.train.stream import Batch
from torch import Tensor
from torch.nn import functional as F

pytestmark = needs_reference
OWN = ("adaptmlp", "router_list", "w_noise_list")
LEAVES = {
    "down": "down_proj.weight", "down_bias": "down_proj.bias", "up": "up_proj.weight",
    "up_bias": "up_proj.bias",
}  # fmt: skip


@pytest.fixture(scope="module")
def file() -> dict[str, Tensor]:
    return arrays("moe_adapter")


def names(file: dict[str, Tensor]) -> list[tuple[str, str, int]]:
    """(their block, our room, index) of every block."""
    mixtures = []
    for tower, room in (("vision", "vision_mixtures"), ("text", "text_mixtures")):
        index = 0
        while f"w.{tower}_model.encoder.layers.{index}.router_list.0" in file:
            mixtures.append((f"{tower}_model.encoder.layers.{index}", room, index))
            index += 1
    return mixtures


def made(file: dict[str, Tensor]) -> tuple[MoEAdapter, Tensor]:
    """The method with the recorded weights, and the tokens of the clips."""
    clip = {k: v for k, v in file.items() if k.startswith("w.") and not any(o in k for o in OWN)}
    bare = backbone(clip, "w.", 0)
    experts = len({k.split("adaptmlp_list.")[1].split(".")[0] for k in file if k[:2] == "w."
                   and "adaptmlp_list" in k})  # fmt: skip
    method = make_method("moe_adapter", bare, experts=experts)
    assert isinstance(method, MoEAdapter)
    method.double()
    tasks = sum(k.startswith("w.text_model.encoder.layers.0.router_list.") for k in file)
    method._resize(tasks)
    with torch.no_grad():
        for theirs, room, index in names(file):
            mixture = cast(AdapterMixture, getattr(method, room)[index])
            for ours, leaf in LEAVES.items():
                rows = [file[f"w.{theirs}.adaptmlp_list.{e}.{leaf}"] for e in range(experts)]
                getattr(mixture, ours).copy_(torch.stack(rows)[None])
            for task in range(tasks):
                mixture.routers[task].copy_(file[f"w.{theirs}.router_list.{task}"])
                mixture.noises[task].copy_(file[f"w.{theirs}.w_noise_list.{task}"])
    pixels = file["pixels"]
    tokens = bare.stem(0)(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
    return method, tokens.clone()


@contextmanager
def recorded_gates(method: MoEAdapter) -> Iterator[list[Tensor]]:
    """The gates of every block, as they are used."""
    recorded: list[Tensor] = []

    def keep(_: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
        recorded.append(given[1])

    hooks = [mixture.register_forward_pre_hook(keep) for mixture in method.mixtures]
    yield recorded
    for hook in hooks:
        hook.remove()


def test_every_path(file: dict[str, Tensor]) -> None:
    method, tokens = made(file)
    task = 1
    while f"eval.task{task}.text" in file:
        with recorded_gates(method) as recorded:
            video = method.encode_videos(tokens, task).squeeze(1)
            text = F.normalize(method.encode_texts(file["ids"], task).text, dim=-1)
        close(video, file[f"eval.task{task}.video"])
        close(text, file[f"eval.task{task}.text"])
        blocks = len(method.vision_mixtures)
        close(torch.stack(recorded[:blocks]), file[f"eval.task{task}.gates_vision"])
        assert len({tuple(row.tolist()) for row in recorded[blocks]}) == 1, "the start token's"
        task += 1
    assert task >= 3
    close(method.encode_videos(tokens).squeeze(1), file["eval.task1.video"])  # no task yet: path 1
    close(method.pretrained.encode_videos(tokens).squeeze(1), file["zero_shot.video"])
    zero = F.normalize(method.pretrained.encode_texts(file["ids"]).text, dim=-1)
    close(zero, file["zero_shot.text"])


class Recorded:
    """The recorded draws, in the order in which the blocks ask for them."""

    def __init__(self, file: dict[str, Tensor], tokens: int) -> None:
        self.normals = [*file["train.noise_vision"], *file["train.noise_text"]]
        vision = [keep / 0.9 for keep in file["train.keep_vision"]]
        self.keeps = [*vision, *(keep / 0.9 for keep in file["train.keep_text"])]
        self.keeps[len(vision) - 1] = vision[-1][:, :, ::tokens]  # class tokens alone
        self.words = file["ids"].argmax(-1).max() + 1

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        assert tuple(self.normals[0].shape) == shape
        return self.normals.pop(0)

    def dropout_mask(self, shape: tuple[int, ...], like: Tensor, dropout: float) -> Tensor:
        keep = self.keeps.pop(0)[:, :, : shape[2]]
        assert tuple(keep.shape) == shape and dropout == 0.1
        return keep


def trained(
    file: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> tuple[MoEAdapter, dict[str, Tensor]]:
    method, tokens = made(file)
    noise = Recorded(file, tokens.shape[2])
    monkeypatch.setattr(MoEAdapter, "noise", lambda self: noise)
    method.train()
    method.task = int(file["task_at_build"])
    every = torch.arange(len(tokens))
    batch = Batch(tokens, every, file["ids"], every, every, every, 0)
    losses = method.losses(batch)
    losses["contrastive"].backward()
    assert not noise.normals and not noise.keeps
    return method, losses


def test_training_with_noise_dropout_and_gradients(
    file: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, losses = trained(file, monkeypatch)
    close(losses["contrastive"], file["train.loss"])
    checked = 0
    for theirs, room, index in names(file):
        mixture = cast(AdapterMixture, getattr(method, room)[index])
        tower = theirs.split("_")[0]
        assert torch.equal(mixture.chosen, file[f"train.choose_map_{tower}"][index])
        routers = {f"router_list.{t}": p.grad for t, p in enumerate(mixture.routers)}
        routers |= {f"w_noise_list.{t}": p.grad for t, p in enumerate(mixture.noises)}
        adapters = {
            f"adaptmlp_list.{e}.{leaf}": getattr(mixture, ours).grad[0, e]
            for ours, leaf in LEAVES.items()
            for e in range(mixture.down.shape[1])
        }
        for name, gradient in {**routers, **adapters}.items():
            norm = file.get(f"train.g_norm.{theirs}.{name}")
            if norm is not None and gradient is not None:
                assert float(gradient.norm()) == pytest.approx(float(norm), rel=2e-4, abs=1e-6)
                checked += 1
            whole = file.get(f"train.g.{theirs}.{name}")
            if whole is not None and gradient is not None and float(whole.norm()) > 1e-6:
                close_gradient(gradient, whole)
    assert checked > 20


def test_the_most_chosen_are_fixed_for_good(
    file: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _ = trained(file, monkeypatch)
    monkeypatch.undo()
    mixture = method.mixtures[0]
    most = mixture.chosen.topk(2).indices
    mixture.fix_most_chosen()
    assert sorted(mixture.is_fixed.nonzero().flatten().tolist()) == sorted(most.tolist())
    assert not mixture.chosen.any()
    method.zero_grad()
    y = torch.randn(3, 4, mixture.down.shape[3], dtype=torch.float64)
    gates = mixture.gates(y[:, 0], 1, None)
    mixture(y, torch.ones_like(gates), None).sum().backward()
    assert mixture.up.grad is not None
    moved = mixture.up.grad[0].flatten(1).any(1)
    assert torch.equal(moved, ~mixture.is_fixed)


@pytest.mark.parametrize("mistake", ["twice the scale", "other experts", "no relu"])
def test_a_mistake_in_the_formula_is_noticed(
    file: dict[str, Tensor], mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, gates = AdapterMixture.forward, AdapterMixture.gates
    if mistake == "twice the scale":
        monkeypatch.setattr(AdapterMixture, "forward", lambda *given: 2 * plain(*given))
    elif mistake == "other experts":
        monkeypatch.setattr(
            AdapterMixture, "gates", lambda self, rho, *rest: gates(self, -rho, *rest)
        )
    else:
        monkeypatch.setattr(F, "relu", lambda x: x)
    with pytest.raises(AssertionError):
        test_every_path(file)


@pytest.mark.parametrize("tower", ["image", "text"])
def test_the_official_block(tower: str) -> None:
    """One residual block of MoE-Adapters4CL: two routers, noise, how often each adapter is used."""
    official = {
        k.removeprefix(f"{tower}."): v
        for k, v in arrays("moe_adapter_official").items()
        if k.startswith(f"{tower}.")
    }
    own = {k.removeprefix("w."): v for k, v in official.items() if k.startswith("w.")}
    x, width = official["x"], official["x"].shape[-1]
    block = ResidualAttentionBlock(width, HEADS[width], act_layer=QuickGELU).double().eval()
    block.load_state_dict({k: v for k, v in own.items() if not k.startswith(OWN)})
    experts = own["router_list.0"].shape[1]
    options = MoEAdapterOptions(experts=experts, dropout=0)
    mixture = AdapterMixture(width, options, torch.Generator()).double()
    mixture.resize(2)
    with torch.no_grad():
        for ours, leaf in LEAVES.items():
            rows = [own[f"adaptmlp_list.{e}.{leaf}"] for e in range(experts)]
            getattr(mixture, ours).copy_(torch.stack(rows)[None])
        for task in range(2):
            mixture.routers[task].copy_(own[f"router_list.{task}"])
            mixture.noises[task].copy_(own[f"w_noise_list.{task}"])
        parts = query_key_value(block, block.ln_1(x), x.shape[1])
        attention = attend(*parts, block.attn.num_heads, causal=tower == "text")
        plain = x + block.attn.out_proj(attention)
        tail = plain + block.mlp(block.ln_2(plain))
        close(tail, official["zero_shot"])
        for task in range(2):
            gates = mixture.gates(plain[:, 0], task + 1, None)
            close(tail + mixture(plain, gates, None), official[f"eval.task{task}"])
        assert torch.equal(mixture.chosen.double(), official["choose_map_after_evals"])
        noise = cast(Noise, RecordedDraw(official["noise"]))
        gates = mixture.gates(plain[:, 0], 1, noise)
        close(tail + mixture(plain, gates, noise), official["noisy"])


class RecordedDraw:
    """One draw of routing noise, and no dropout."""

    def __init__(self, draw: Tensor) -> None:
        self.draw = draw

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        assert tuple(self.draw.shape) == shape
        return self.draw

    def dropout_mask(self, shape: tuple[int, ...], like: Tensor, dropout: float) -> Tensor:
        raise AssertionError("there is no dropout")

"""Topic 8: three whole training steps of the official code.

Losses, every gradient, and the optimizer's step with its skipped experts.
"""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from helpers.golden import Golden, RecordedNoise, close, close_gradient, split_like_official
from structalign.backbones.families.plain_vit import ViTTail
from structalign.train.methods.structalign.method import Replayed, StructAlign, Teacher
from structalign.train.optimizer import build_optimizer, clip_gradients, learning_rate_factor
from structalign.train.stream import Batch
from torch import Tensor

FILE = "8_train_step"
SIDES = ("text", "video", "label")


@dataclass
class Step:
    """A step after its backward pass."""

    method: StructAlign
    losses: dict[str, Tensor]
    total: Tensor
    gradients: dict[str, Tensor]


def drawn(golden: Golden, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Recorded draws of prototypes: text, video, labels."""
    text, video, labels = (golden.get("5_prototypes", f"{name}.{x}") for x in SIDES)
    return text, video, labels


def run_step(golden: Golden, name: str) -> Step:
    """Run ``t1``, ``t2`` or ``t2n`` through the method's own code."""
    task = 1 if name == "t1" else 2
    method = golden.method()
    directions = golden.get(FILE, "etf").T
    method.directions, method.task = directions, task
    ids = golden.get("1_model_io", "input_ids")
    visible = golden.get("1_model_io", "attention_mask").bool()
    pixels = golden.get("1_model_io", "pixel_values")
    hidden = golden.get("1_model_io", "vision.hidden_states")
    tokens = hidden[method.towers.cut].unflatten(1, (pixels.shape[1], -1))
    size = len(ids)
    index = torch.arange(size)
    method.read_text = partial(method.read_text, visible=visible)  # type: ignore[method-assign]
    if task > 1:
        reference = golden.method(golden.reference_weights)
        with torch.no_grad():
            words = reference.read_text(ids, reference.experts, reference.route(task), visible)
            frames = reference.frames(tokens)
        method.teacher = Teacher(frames[None], words.words, words.lengths, reference.towers.scale)
        replayed = Replayed(drawn(golden, "apa2"), drawn(golden, "apa"))
        method.draw_prototypes = lambda batch: replayed  # type: ignore[method-assign]
    labels = golden.get(FILE, f"{'t1' if task == 1 else 't2'}.categories")
    noise = RecordedNoise(golden.get(FILE, "t2n.noise")) if name == "t2n" else None
    method.noise = lambda: noise  # type: ignore[method-assign]
    losses = method.losses(Batch(tokens, index, ids, labels, index, index, 0))
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    gradients: dict[str, Tensor] = {}
    for ours, parameter in method.learnt().items():
        if parameter.grad is not None:
            gradients |= split_like_official(ours, parameter.grad, golden.config["lora_nums"])
    towers = method.towers
    assert isinstance(towers.video, ViTTail)
    for theirs, parameter in (
        ("visual_projection.weight", towers.video.projection),
        ("text_projection.weight", towers.text.projection),
        ("logit_scale", towers.logit_scale),
    ):
        assert parameter.grad is not None
        gradients[f"clipmodel.{theirs}"] = parameter.grad.T if parameter.ndim else parameter.grad
    return Step(method, losses, total, gradients)


def official_parameters(golden: Golden, method: StructAlign) -> dict[str, Tensor]:
    """What is learnt, under the official names."""
    experts = golden.config["lora_nums"]
    return {
        name: part
        for ours, p in method.learnt().items()
        for name, part in split_like_official(ours, p.detach(), experts).items()
    }


@pytest.mark.parametrize("name", ["t1", "t2"])
def test_losses(golden: Golden, name: str) -> None:
    step = run_step(golden, name)
    base = step.losses["contrastive"] + step.losses.get("crp", torch.zeros(()))
    close(base, golden.get(FILE, f"{name}.base_loss"))
    lam = golden.get(FILE, f"{name}.lambda_etf")
    close(step.losses["etf"] / lam, golden.get(FILE, f"{name}.etf_loss"))
    close(0.1 * base / (step.losses["etf"] / lam), lam)
    if name == "t2":
        close(step.losses["replay"] / 0.5, golden.get(FILE, "t2.proto_aug_loss"))
    close(step.total, golden.get(FILE, f"{name}.total_loss"))


@pytest.mark.parametrize("name", ["t1", "t2"])
def test_every_gradient(golden: Golden, name: str) -> None:
    step = run_step(golden, name)
    file = golden.file(FILE)
    checked = 0
    for key in [
        key
        for key in file
        if key.startswith((f"{name}.grad.", f"{name}.grad_notopt.")) and not key.endswith(".f64")
    ]:
        theirs = key.split(".", 2)[2]
        close_gradient(step.gradients[theirs], golden.get(FILE, key))
        checked += 1
    assert checked > 10
    flags = {theirs: flag[name] for theirs, flag in golden.manifest["parameters"].items()}
    with_gradient = [theirs for theirs, flag in flags.items() if flag[2]]
    norms = golden.get(FILE, f"{name}.grad_norms")
    assert len(with_gradient) == len(norms)
    for theirs, norm in zip(with_gradient, norms.tolist(), strict=True):
        assert abs(float(step.gradients[theirs].norm()) - norm) <= 1e-4 * norm + 2e-6, theirs
    absent = [theirs for theirs, flag in flags.items() if flag[0] and not flag[2]]
    for theirs in absent:
        assert theirs not in step.gradients or float(step.gradients[theirs].abs().max()) == 0, (
            theirs
        )


@pytest.mark.parametrize("name", ["t1", "t2"])
def test_norm_over_all_parameters(golden: Golden, name: str) -> None:
    step = run_step(golden, name)
    close(
        clip_gradients(list(step.method.parameters()), 1.0), golden.get(FILE, f"{name}.grad_norm")
    )


@pytest.mark.parametrize("name", ["t1", "t2"])
def test_step_of_the_optimizer(golden: Golden, name: str) -> None:
    rates = golden.manifest["numbers"][f"{name}.group_base_lr"]
    step = run_step(golden, name)
    settings = replace(
        golden.method_config.settings,
        lr_text=rates["clip_text"],
        lr_vision=rates["clip_vision"],
        lr_other=rates["non_clip"],
        lr_first=None,
    )
    before = {
        theirs: part.clone() for theirs, part in official_parameters(golden, step.method).items()
    }
    clip_gradients(list(step.method.parameters()), 1.0)
    factor = 0.0 if name == "t1" else 1.0
    assert golden.manifest["numbers"][f"{name}.lr_at_first_step"][0] == rates["clip_text"] * factor
    build_optimizer(step.method.parameter_groups(), settings, False).step(
        learning_rate_factor(0, 50, 5 if name == "t1" else 0, "full_cosine")
    )
    after = official_parameters(golden, step.method)
    for key in [
        key
        for key in golden.file(FILE)
        if key.startswith(f"{name}.after.") and not key.endswith(".f64")
    ]:
        theirs = key.split(".", 2)[2]
        expected = golden.get(FILE, key) - golden.weights[theirs]
        assert torch.allclose(after[theirs] - before[theirs], expected, rtol=1e-3, atol=2e-9), (
            theirs
        )
    if name == "t2":
        skipped = [
            theirs
            for theirs, flag in golden.manifest["parameters"].items()
            if flag["t2"][1] and not flag["t2"][2] and theirs in after
        ]
        assert skipped
        for theirs in skipped:
            assert torch.equal(after[theirs], before[theirs]), theirs


def test_step_with_routing_noise(golden: Golden) -> None:
    step = run_step(golden, "t2n")
    base = step.losses["contrastive"] + step.losses["crp"]
    close(base, golden.get(FILE, "t2n.base"))
    close(
        step.losses["etf"] * golden.get(FILE, "t2n.etf") / (0.1 * base), golden.get(FILE, "t2n.etf")
    )
    close(step.losses["replay"] / 0.5, golden.get(FILE, "t2n.pal"))
    close(step.total, golden.get(FILE, "t2n.total"))
    close(clip_gradients(list(step.method.parameters()), 1e9), golden.get(FILE, "t2n.norm"))
    for key in [
        key for key in golden.file(FILE) if key.startswith("t2n.grad.") and not key.endswith(".f64")
    ]:
        close_gradient(step.gradients[key.split(".", 2)[2]], golden.get(FILE, key))

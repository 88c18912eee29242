"""LwF against CTVR's code: embeddings, both terms of the loss, gradients, from any cut."""

from collections.abc import Callable

import pytest
import torch
from helpers.baselines import arrays, backbone, needs_reference, reference_gradients
from helpers.golden import close, close_gradient
from helpers.methods import make_method
from structalign.train.contrastive import contrastive
from structalign.train.methods import lwf
from structalign.train.methods.lwf import LwF, distillation
from structalign.train.model.towers import Towers
from structalign.train.stream import Batch
from torch import Tensor
from torch.nn import functional as F

pytestmark = needs_reference


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, Tensor]]:
    return {name: arrays(name) for name in ("clip4clip", "distillation_towers", "lwf")}


def step(recorded: dict[str, dict[str, Tensor]], cut: int) -> tuple[LwF, dict[str, Tensor], Tensor]:
    """The method after its backward pass: its losses, and the student's unit videos."""
    student, towers = recorded["clip4clip"], recorded["distillation_towers"]
    weights = {k: v for k, v in student.items() if k.startswith("w.")}
    made = backbone(weights, "w.", cut)
    method = make_method("lwf", made)
    assert isinstance(method, LwF)
    method.double().train()
    taught = {k: v for k, v in towers.items() if k.startswith("t.")}
    teacher = Towers(backbone(taught, "t.", 0)).double()
    pixels, ids = towers["pixels"], towers["ids"]
    shape = pixels.shape[:2]
    with torch.no_grad():
        whole = backbone(taught, "t.", 0).stem(0)(pixels.flatten(0, 1)).unflatten(0, shape)
        method.taught_videos = method.gallery_embeddings(teacher.frames(whole)).squeeze(1)[None]
        method.taught_texts = F.normalize(teacher.text_features(ids).text, dim=-1)
        tokens = made.stem(cut)(pixels.flatten(0, 1)).unflatten(0, shape).clone()
    every = torch.arange(len(ids))
    losses = method.losses(Batch(tokens, every, ids, every, every, every, 0))
    torch.stack(list(losses.values())).sum().backward()
    videos = method.gallery_embeddings(method.frames(tokens).detach()).squeeze(1)
    return method, losses, videos


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_losses_and_every_gradient(recorded: dict[str, dict[str, Tensor]], cut: int) -> None:
    blocks = max(int(k.split(".")[1]) for k in recorded["clip4clip"] if k.startswith("tokens."))
    method, losses, videos = step(recorded, cut if cut >= 0 else blocks - 1)
    expected = recorded["lwf"]
    close(videos, expected["student_video"])
    close(method.taught_videos[0], expected["teacher_video"])
    close(method.taught_texts, expected["teacher_text"])
    close(losses["contrastive"], expected["contrastive"])
    close(losses["distillation"], expected["distill_rows"] + expected["distill_columns"])
    close(torch.stack(list(losses.values())).sum(), expected["loss"])
    checked = reference_gradients(method, {k: v for k, v in expected.items() if k.startswith("g.")})
    assert len(checked) > 20
    for name, ours, theirs in checked:
        close_gradient(ours, theirs) if "in_proj_bias" not in name else close(ours, theirs)


def test_distillation_gives_the_text_tower_no_gradient(
    recorded: dict[str, dict[str, Tensor]],
) -> None:
    method, _, _ = step(recorded, 0)
    whole = {
        n: p.grad.clone() for n, p in method.student.text.named_parameters() if p.grad is not None
    }
    method.zero_grad()
    towers = recorded["distillation_towers"]
    pixels, ids = towers["pixels"], towers["ids"]
    made = {k: v for k, v in recorded["clip4clip"].items() if k.startswith("w.")}
    tokens = backbone(made, "w.", 0).stem(0)(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
    every = torch.arange(len(ids))
    losses = method.losses(Batch(tokens.clone(), every, ids, every, every, every, 0))
    losses["contrastive"].backward()
    assert whole
    for name, parameter in method.student.text.named_parameters():
        assert parameter.grad is not None and torch.equal(parameter.grad, whole[name]), name


def test_the_loss_as_a_function_of_embeddings(recorded: dict[str, dict[str, Tensor]]) -> None:
    """In float64, with the gradients of text and video."""
    file = recorded["lwf"]
    text, video = (file[name].clone().requires_grad_() for name in ("text", "video"))
    scale, taught = file["logit_scale"].exp(), file["teacher_text"]
    target, student = scale * file["teacher_video"] @ taught.T, scale * video @ taught.T
    loss = contrastive(scale * video @ text.T) + distillation(target, student)
    loss = loss + distillation(target.T, student.T)
    close(loss, file["f64.loss"], 1e-9)
    loss.backward()
    assert text.grad is not None and video.grad is not None
    close(text.grad, file["f64.g_text"], 1e-9)
    close(video.grad, file["f64.g_video"], 1e-9)


MISTAKES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "half of it": lambda target, student: distillation(target, student) / 2,
    "swapped": lambda target, student: distillation(student, target),
    "a divergence": lambda target, student: F.kl_div(
        F.log_softmax(student / 2, -1), F.softmax(target / 2, -1), reduction="batchmean"
    ) * 4,
    "no temperature": lambda target, student: F.cross_entropy(student, target.softmax(-1)),
    "T once": lambda target, student: distillation(target, student) / lwf.TEMPERATURE,
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_formula_is_noticed(
    recorded: dict[str, dict[str, Tensor]], mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lwf, "distillation", MISTAKES[mistake])
    with pytest.raises(AssertionError):
        test_losses_and_every_gradient(recorded, 0)

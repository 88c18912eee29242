"""VR-LwF and ZSCL against the official loss, and ZSCL's averaging of weights."""

import itertools

import pytest
import torch
from helpers.baselines import arrays, backbone, needs_reference, reference_gradients
from helpers.golden import close, close_gradient
from helpers.methods import make_method
from structalign.backbones.family import Stem
from structalign.train.contrastive import contrastive
from structalign.train.methods import lwf
from structalign.train.methods.clip4clip import CLIP4Clip
from structalign.train.methods.lwf import distil_relations, distillation
from structalign.train.methods.vr_lwf import VRLwF, random_sentences
from structalign.train.methods.zscl import ZSCL, merge
from structalign.train.model.towers import Towers
from structalign.train.stream import Batch
from torch import Tensor
from torch.nn import functional as F

pytestmark = needs_reference
Files = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def recorded() -> Files:
    names = ("clip4clip", "distillation_towers", "lwf", "vr_lwf", "zscl", "ensemble")
    return {name: arrays(name) for name in names}


def step(recorded: Files, name: str, cut: int) -> tuple[CLIP4Clip, dict[str, Tensor]]:
    """The method after its backward pass, taught by the recorded teacher."""
    student, towers = recorded["clip4clip"], recorded["distillation_towers"]
    made = backbone({k: v for k, v in student.items() if k.startswith("w.")}, "w.", cut)
    whole = backbone({k: v for k, v in towers.items() if k.startswith("t.")}, "t.", 0)
    teacher = Towers(whole).double()
    method = make_method(name, made)
    assert isinstance(method, CLIP4Clip)
    method.double().train()

    def tokens(pixels: Tensor, of: Stem) -> Tensor:
        return of(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2]).clone()

    def taught(pixels: Tensor) -> Tensor:
        return method.gallery_embeddings(teacher.frames(tokens(pixels, whole.stem(0)))).squeeze(1)

    ids, every = towers["ids"], torch.arange(len(towers["ids"]))
    with torch.no_grad():
        if isinstance(method, VRLwF):
            method.taught_videos = taught(towers["pixels"])[None]
            kept = towers["random_ids"][:, : len(whole.model.positional_embedding)]
            method.taught_texts = F.normalize(teacher.text_features(kept).text, dim=-1)
            close(method.taught_texts, recorded["vr_lwf"]["teacher_text"])
        else:
            assert isinstance(method, ZSCL)
            method.images = tokens(towers["ref_pixels"], made.stem(cut))
            method.taught_images = taught(towers["ref_pixels"])
            method.taught_texts = F.normalize(teacher.text_features(towers["ref_ids"]).text, dim=-1)
        batch = Batch(tokens(towers["pixels"], made.stem(cut)), every, ids, every, every, every, 0)
    losses = method.losses(batch)
    torch.stack(list(losses.values())).sum().backward()
    return method, losses


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("name", ["vr_lwf", "zscl"])
def test_losses_and_every_gradient(recorded: Files, name: str, cut: int) -> None:
    method, losses = step(recorded, name, cut)
    expected = recorded[name]
    if isinstance(method, ZSCL):
        close(method.taught_images, expected["teacher_video"])
        close(method.taught_texts, expected["teacher_text"])
    close(losses["contrastive"], expected["contrastive"])
    close(losses["distillation"], expected["distill_rows"] + expected["distill_columns"])
    close(torch.stack(list(losses.values())).sum(), expected["loss"])
    text = {k: v for k, v in recorded["lwf"].items() if k.startswith("g.text_")}
    gradients = {**text, **{k: v for k, v in expected.items() if k.startswith("g.")}}
    checked = reference_gradients(method, gradients)
    assert len(checked) > 20
    for parameter, ours, theirs in checked:
        close_gradient(ours, theirs) if "in_proj_bias" not in parameter else close(ours, theirs)


@pytest.mark.parametrize("name", ["vr_lwf", "zscl"])
def test_the_loss_as_a_function_of_embeddings(recorded: Files, name: str) -> None:
    """In float64, with the gradients of text and video."""
    file = recorded[name]
    text, video = (file[key].clone().requires_grad_() for key in ("text", "video"))
    student = video if name == "vr_lwf" else file["student_video"].clone().requires_grad_()
    scale = file["logit_scale"].exp()
    loss = contrastive(scale * video @ text.T)
    loss = loss + distil_relations(file["teacher_video"], student, file["teacher_text"], scale)
    close(loss, file["f64.loss"], 1e-9)
    loss.backward()
    assert text.grad is not None and video.grad is not None and student.grad is not None
    close(text.grad, file["f64.g_text"], 1e-9)
    whole = "f64.g_student_video" if name == "zscl" else "f64.g_video"
    close(student.grad, file[whole], 1e-9)


def test_random_sentences_have_zscls_form(recorded: Files) -> None:
    theirs = recorded["distillation_towers"]["random_ids"]
    vocabulary, length = int(theirs.max()) + 1, theirs.shape[1]
    nothing = torch.tensor([vocabulary - 2, vocabulary - 1, *[0] * (length - 2)])
    ours = random_sentences(500, 10, vocabulary, nothing, 1, torch.Generator().manual_seed(0))
    for ids in (ours, theirs):
        assert bool((ids[:, 0] == vocabulary - 2).all() and (ids[:, 11] == vocabulary - 1).all())
        assert not ids[:, 12:].any()
    assert len(ours[:, 1:11].unique()) == vocabulary  # of all ids, start and end among them


def test_snapshots_are_averaged_as_zscl_does(recorded: Files) -> None:
    file = recorded["ensemble"]
    for leaf in ("weight", "bias"):
        average, count = file[f"start.{leaf}"], 0
        while f"step.{count + 1}.{leaf}" in file:
            count += 1
            average = merge(average, file[f"step.{count}.{leaf}"], count)
            close(average, file[f"we.{count}.{leaf}"], 1e-6)
        assert count >= 2
    moved = sum(
        (file[f"step.1.{leaf}"] - file[f"start.{leaf}"]).square().sum()
        for leaf in ("weight", "bias")
    )
    close(torch.as_tensor(moved), file["l2"], 1e-5)
    target, student = file["distillation.t"], file["distillation.s"]
    close(distillation(target, student), file["distillation.T2"], 1e-5)


@pytest.mark.parametrize("name", ["vr_lwf", "zscl"])
@pytest.mark.parametrize("mistake", ["rows alone", "T once"])
def test_a_mistake_in_the_formula_is_noticed(
    recorded: Files, name: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = distillation
    if mistake == "T once":
        monkeypatch.setattr(lwf, "distillation", lambda t, s: plain(t, s) / 2)
    else:
        calls = itertools.count()
        monkeypatch.setattr(lwf, "distillation", lambda t, s: plain(t, s) * (next(calls) % 2 == 0))
    with pytest.raises(AssertionError):
        test_losses_and_every_gradient(recorded, name, 0)

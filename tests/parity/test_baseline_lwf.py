"""LwF against the released code: embeddings, both terms of the loss, gradients, from any cut."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from helpers.golden import clip_state, close, close_gradient
from helpers.methods import make_method
from structalign.cache.clip.backbone import Backbone, Stem
from structalign.cache.clip.identity import Preprocessing
from structalign.train.losses import contrastive
from structalign.train.methods import lwf
from structalign.train.methods.lwf import LwF, distillation
from structalign.train.model.towers import Towers
from structalign.train.stream import Batch
from torch import Tensor
from torch.nn import functional as F

DEFAULT = Path(__file__).parents[3] / "shared" / "reference" / "baselines"
FOLDER = Path(os.environ.get("STRUCTALIGN_BASELINES_REFERENCE") or DEFAULT)
HEADS = {24: 3, 20: 2, 16: 2, 18: 3}  # by width; they are not in the files

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="needs STRUCTALIGN_BASELINES_REFERENCE, the recorded numbers"
)


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        found = {key: torch.from_numpy(file[key]) for key in file.files}
    return {k: v.double() if v.is_floating_point() else v.long() for k, v in found.items()}


def backbone(weights: dict[str, Tensor], prefix: str, cut: int) -> Backbone:
    """open_clip's model in float64 with recorded weights."""
    named = {"clipmodel." + k.removeprefix(prefix): v for k, v in weights.items()}
    vision, text = (f"clipmodel.{tower}_model." for tower in ("vision", "text"))
    patch = named[vision + "embeddings.patch_embedding.weight"]
    tokens = len(named[vision + "embeddings.position_embedding.weight"])
    layers = [
        sum(".layer_norm1.weight" in k and k.startswith(t) for k in named) for t in (vision, text)
    ]
    vocabulary, width = named[text + "embeddings.token_embedding.weight"].shape
    config = {
        "embed_dim": len(named["clipmodel.visual_projection.weight"]),
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": round((tokens - 1) ** 0.5) * patch.shape[-1],
            "patch_size": patch.shape[-1],
            "layers": layers[0],
            "width": len(patch),
            "head_width": len(patch) // HEADS[len(patch)],
        },
        "text_cfg": {
            "context_length": len(named[text + "embeddings.position_embedding.weight"]),
            "vocab_size": vocabulary,
            "width": width,
            "heads": HEADS[width],
            "layers": layers[1],
        },
    }
    model = open_clip.CLIP(**config).double().eval().requires_grad_(False)
    model.load_state_dict(clip_state(named, *layers))
    size = int(config["vision_cfg"]["image_size"])
    return Backbone(
        "golden", "golden", config, Preprocessing(size, (0,) * 3, (1,) * 3), model, None, "", cut
    )


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
        whole = Stem(backbone(taught, "t.", 0), 0)(pixels.flatten(0, 1)).unflatten(0, shape)
        method.taught_videos = method.gallery_embeddings(teacher.video(whole)).squeeze(1)[None]
        method.taught_texts = F.normalize(teacher.text_features(ids).text, dim=-1)
        tokens = Stem(made, cut)(pixels.flatten(0, 1)).unflatten(0, shape).clone()
    every = torch.arange(len(ids))
    losses = method.losses(Batch(tokens, every, ids, every, every, every, 0))
    torch.stack(list(losses.values())).sum().backward()
    videos = method.gallery_embeddings(method.frames(tokens).detach()).squeeze(1)
    return method, losses, videos


def released_gradients(
    method: LwF, gradients: dict[str, Tensor]
) -> list[tuple[str, Tensor, Tensor]]:
    """(name, ours, theirs) of every trained parameter but the token embedding's unused rows."""
    clip = {k: v for k, v in method.student.named_parameters() if v.grad is not None}
    prefixed = {"clipmodel." + k.removeprefix("g."): v for k, v in gradients.items()}
    cut, text = method.student.video.cut, len(method.student.text.blocks)
    theirs = clip_state(prefixed, cut + len(method.student.video.blocks), text)
    names = {"video.projection": "visual.proj", "text.projection": "text_projection"}
    pairs = []
    for ours, parameter in clip.items():
        name = names.get(ours, ours)
        if ours.startswith("video.blocks."):
            _, _, offset, rest = ours.split(".", 3)
            name = f"visual.transformer.resblocks.{int(offset) + cut}.{rest}"
        name = name.replace("video.ln_post", "visual.ln_post").replace(
            "text.blocks", "transformer.resblocks"
        )
        pairs.append((ours, parameter.grad, theirs[name.removeprefix("text.")]))
    return pairs


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
    close(sum(losses.values()), expected["loss"])
    checked = released_gradients(method, {k: v for k, v in expected.items() if k.startswith("g.")})
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
    tokens = Stem(backbone(made, "w.", 0), 0)(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
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

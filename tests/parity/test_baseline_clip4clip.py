"""CLIP4Clip against CTVR's code: embeddings, both means, loss, gradients, from any cut."""

import pytest
import torch
from helpers.baselines import arrays, backbone, needs_reference, reference_gradients
from helpers.golden import close, close_gradient
from helpers.methods import make_method
from structalign.train.contrastive import contrastive
from structalign.train.methods.clip4clip import CLIP4Clip
from structalign.train.model.similarity import global_similarity
from structalign.train.stream import Batch
from torch import Tensor

pytestmark = needs_reference


@pytest.fixture(scope="module")
def file() -> dict[str, Tensor]:
    return arrays("clip4clip")


def step(file: dict[str, Tensor], cut: int) -> tuple[CLIP4Clip, dict[str, Tensor], Batch]:
    """The method after its backward pass."""
    weights = {k: v for k, v in file.items() if k.startswith("w.")}
    method = make_method("clip4clip", backbone(weights, "w.", cut))
    assert isinstance(method, CLIP4Clip)
    method.double().train()
    ids, every = file["ids"], torch.arange(len(file["ids"]))
    batch = Batch(file[f"tokens.{cut}"].clone(), every, ids, every, every, every, 0)
    losses = method.losses(batch)
    torch.stack(list(losses.values())).sum().backward()
    return method, losses, batch


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_loss_and_every_gradient(file: dict[str, Tensor], cut: int) -> None:
    last = max(int(k.split(".")[1]) for k in file if k.startswith("tokens."))
    method, losses, batch = step(file, cut if cut >= 0 else last - 1)
    video, text = method.embeddings(batch)
    close(video, file["video"])
    close(text, file["text"])
    close(text @ video.T, file["sims"])
    close(losses["contrastive"], file["loss_clip"])
    close(2 * losses["contrastive"], file["loss_nce"])
    gradients = {
        f"g.{k.removeprefix('g_clip.')}": v for k, v in file.items() if k.startswith("g_clip.")
    }
    checked = reference_gradients(method, gradients)
    assert len(checked) > 20
    for name, ours, theirs in checked:
        close_gradient(ours, theirs) if "in_proj_bias" not in name else close(ours, theirs)


def test_the_stem_gives_the_recorded_tokens(file: dict[str, Tensor]) -> None:
    weights = {k: v for k, v in file.items() if k.startswith("w.")}
    pixels = file["pixels"]
    for cut in (0, 1):
        made = backbone(weights, "w.", cut).stem(cut)(pixels.flatten(0, 1))
        close(made.unflatten(0, pixels.shape[:2]), file[f"tokens.{cut}"])


def test_the_official_codes_mean_of_unit_frames(file: dict[str, Tensor]) -> None:
    weights = {k: v for k, v in file.items() if k.startswith("w.")}
    method = make_method("clip4clip", backbone(weights, "w.", 0), mean="unit")
    is_shown = file["official.frame_mask"].bool()  # here a short clip repeats its last frame
    frames, text = (file[name].clone().requires_grad_() for name in ("frames", "text_unnormalised"))
    shown = zip(frames, is_shown, strict=True)
    video = torch.cat([method.gallery_embeddings(own[mask][None]) for own, mask in shown])
    logits = global_similarity(video, text).T * file["logit_scale"].exp()
    close(logits, file["official.logits"])
    loss = contrastive(logits) / 2
    close(loss, file["official.loss"])
    loss.backward()
    assert frames.grad is not None and text.grad is not None
    close_gradient(frames.grad, file["official.g_frames"])
    close_gradient(text.grad, file["official.g_text"])


@pytest.mark.parametrize("mistake", ["the sum", "unit frames"])
def test_a_mistake_in_the_formula_is_noticed(
    file: dict[str, Tensor], mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mistake == "the sum":
        whole = CLIP4Clip.losses
        monkeypatch.setattr(
            CLIP4Clip, "losses",
            lambda self, batch: {k: 2 * v for k, v in whole(self, batch).items()},
        )  # fmt: skip
    else:
        mean = CLIP4Clip.gallery_embeddings
        monkeypatch.setattr(
            CLIP4Clip, "gallery_embeddings",
            lambda self, frames: mean(self, frames / frames.norm(dim=-1, keepdim=True)),
        )  # fmt: skip
    with pytest.raises(AssertionError):
        test_loss_and_every_gradient(file, 0)

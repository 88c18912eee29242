"""Whole runs of ZSCL's own training function: LwF, VR-LwF, ZSCL on a toy CLIP, step by step.

All of CLIP is trained there, the stem too, on classes in place of captions: open_clip's model takes
the towers' place here and a cross entropy the contrast's. What is ours is the rest: distillation,
the pull to the start, and when which weights are averaged.
"""

import itertools
from types import SimpleNamespace
from typing import Any, cast

import open_clip
import pytest
import torch
from helpers.baselines import arrays, needs_reference
from helpers.golden import close
from helpers.methods import make_method
from structalign.backbones.backbone import load_backbone
from structalign.train.methods import lwf, zscl
from structalign.train.methods.clip4clip import CLIP4Clip
from structalign.train.methods.lwf import LwF
from structalign.train.methods.zscl import ZSCL
from structalign.train.stream import Batch
from torch import Tensor, nn
from torch.nn import functional as F

pytestmark = needs_reference
METHODS = ("lwf", "vr_lwf", "zscl")


class WholeCLIP(nn.Module):
    """The toy CLIP as the towers of a method: a clip is one picture."""

    def __init__(self, file: dict[str, Tensor]) -> None:
        super().__init__()
        state = {k.removeprefix("w."): v for k, v in file.items() if k.startswith("w.")}
        patch, side = state["visual.conv1.weight"].shape[-1], file["train.0.images"].shape[-1]
        width = len(state["ln_final.weight"])
        self.clip = open_clip.CLIP(
            state["text_projection"].shape[1],
            {"image_size": side, "patch_size": patch, "layers": 1,
             "width": len(state["visual.proj"]), "head_width": len(state["visual.proj"])},
            {"context_length": len(state["positional_embedding"]), "width": width, "heads": 1,
             "vocab_size": len(state["token_embedding.weight"]), "layers": 1},
            quick_gelu=True,
        ).double()  # fmt: skip
        self.clip.load_state_dict(state)
        self.clip.logit_scale.requires_grad_(False)  # which ZSCL leaves as it is

    def frames(self, pixels: Tensor) -> Tensor:
        return self.clip.encode_image(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])

    def text_features(self, ids: Tensor) -> Any:
        return SimpleNamespace(text=self.clip.encode_text(ids))

    @property
    def logit_scale(self) -> Tensor:
        return self.clip.logit_scale

    @property
    def scale(self) -> Tensor:
        return self.clip.logit_scale.exp()


def run(file: dict[str, Tensor], name: str) -> tuple[list[float], CLIP4Clip, nn.Module]:
    """Losses before each update, the method that was learnt, the model at the start."""
    method = make_method(name, load_backbone("demo", "demo"))
    assert isinstance(method, CLIP4Clip)
    student, start = WholeCLIP(file), WholeCLIP(file)
    method.student = method.towers = cast(Any, student)
    texts = {"lwf": "prompts", "vr_lwf": "random_ids", "zscl": "sentences"}[name]
    with torch.no_grad():
        taught = F.normalize(start.text_features(file[texts]).text, dim=-1)
    parameters = list(student.parameters())
    if isinstance(method, ZSCL):
        method.ensemble, method.every = cast(Any, WholeCLIP(file)), 2
        method.start = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0)
    losses = []
    for step, rate in enumerate(file["run.lr"].tolist()):
        images, labels = cycled(file, "train", step)
        reference, _ = cycled(file, "other" if name == "zscl" else "again", step)
        pictures = reference[:, None]
        with torch.no_grad():
            videos = F.normalize(start.frames(pictures)[:, 0], dim=-1)
        if isinstance(method, ZSCL):
            method.images, method.taught_images, method.taught_texts = pictures, videos, taught
        else:
            assert isinstance(method, LwF)
            method.taught_videos, method.taught_texts = videos[None], taught
        every = torch.arange(len(pictures))
        captions = torch.arange(len(taught)) if name == "lwf" else every
        ids = file["prompts"][:1].expand(len(pictures), -1)
        terms = method.losses(Batch(pictures, every, ids, every, every, captions, 0))
        video = F.normalize(student.frames(images[:, None])[:, 0], dim=-1)
        prompts = F.normalize(student.text_features(file["prompts"]).text, dim=-1)
        loss = F.cross_entropy(student.scale * video @ prompts.T, labels, label_smoothing=0.2)
        loss = loss + sum(term for kind, term in terms.items() if kind != "contrastive")
        losses.append(float(loss.detach()))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(step)
    if isinstance(method, ZSCL):
        method.student.load_state_dict(method.ensemble.state_dict())
    return losses, method, start


def cycled(file: dict[str, Tensor], kind: str, step: int) -> tuple[Tensor, Tensor]:
    """The batches in order, again from the first when they are used up."""
    count = sum(key.startswith(f"{kind}.") and key.endswith(".images") for key in file)
    return file[f"{kind}.{step % count}.images"], file[f"{kind}.{step % count}.labels"]


@pytest.fixture(scope="module")
def file() -> dict[str, Tensor]:
    return arrays("zscl_run")


@pytest.mark.parametrize("name", METHODS)
def test_every_loss_and_the_model_that_is_left(file: dict[str, Tensor], name: str) -> None:
    losses, method, start = run(file, name)
    close(torch.tensor(losses), file[f"{name}.losses"])
    student = cast(WholeCLIP, method.student)
    with torch.no_grad():
        close(student.frames(file["train.0.images"][:, None])[:, 0], file[f"{name}.images_after"])
        close(student.text_features(file["prompts"]).text, file[f"{name}.prompts_after"])
        pairs = zip(student.named_parameters(), start.parameters(), strict=True)
        moved = [(p - before).square().sum() for (n, p), before in pairs if "in_proj_bias" not in n]
    close(student.clip.visual.proj, file[f"{name}.proj_after"])
    distance = float(torch.stack(moved).sum().sqrt())
    assert distance == pytest.approx(float(file[f"{name}.distance_moved"]), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "mistake"),
    [("lwf", "T once"), ("vr_lwf", "rows alone"), ("zscl", "half the pull"), ("zscl", "last merge"),
     ("zscl", "every update merged")],
)  # fmt: skip
def test_a_mistake_is_noticed(
    file: dict[str, Tensor], name: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = lwf.distillation, itertools.count()
    if mistake == "T once":
        monkeypatch.setattr(lwf, "distillation", lambda t, s: plain(t, s) / 2)
    elif mistake == "rows alone":
        monkeypatch.setattr(lwf, "distillation", lambda t, s: plain(t, s) * (next(calls) % 2 == 0))
    elif mistake == "half the pull":
        losses = ZSCL.losses
        monkeypatch.setattr(
            ZSCL, "losses", lambda *given: {**(terms := losses(*given)), "l2": terms["l2"] / 2}
        )
    elif mistake == "last merge":
        monkeypatch.setattr(zscl, "merge", lambda average, current, count: current)
    else:
        merging = ZSCL.after_step
        monkeypatch.setattr(ZSCL, "after_step", lambda self, step: merging(self, 0))
    with pytest.raises(AssertionError):
        test_every_loss_and_the_model_that_is_left(file, name)

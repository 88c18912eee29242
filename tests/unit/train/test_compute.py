"""``compute=bfloat16`` is the float32 towers but for rounding.

In embeddings, losses and gradients; and scores stay float32, without ties.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.cli import QUICK, Cli, without_seconds
from helpers.runs import as_version_0_3
from helpers.steps import CAPTIONS, CUT, learnt_method, random_tokens, step
from open_clip.transformer import QuickGELU
from structalign.backbones.backbone import Backbone, build_model, load_backbone
from structalign.backbones.weight_hashes import hash_weights
from structalign.train.model.similarity import word_frame_similarity
from torch import Tensor


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("demo", "demo")


@pytest.fixture(scope="module")
def tokens(backbone: Backbone) -> Tensor:
    return random_tokens(backbone)


def test_losses_and_gradients(backbone: Backbone, tokens: Tensor) -> None:
    ids = backbone.tokenizer()(CAPTIONS)
    exact, rounded = (
        learnt_method(backbone, compute=compute) for compute in ("float32", "bfloat16")
    )
    losses, gradients = step(exact, ids, tokens)
    near, near_gradients = step(rounded, ids, tokens)
    assert set(near) == {"contrastive", "crp", "etf", "replay"} == set(losses)
    for name, loss in losses.items():
        assert near[name] == pytest.approx(loss, rel=0.05), name
    assert set(near_gradients) == set(gradients)
    changed = 0
    for name, gradient in gradients.items():
        assert near_gradients[name].dtype == torch.float32
        cosine = torch.nn.functional.cosine_similarity(
            near_gradients[name].flatten(), gradient.flatten(), dim=0
        )
        assert float(cosine) > 0.999 and float(
            near_gradients[name].norm() / gradient.norm()
        ) == pytest.approx(1, abs=0.02), name
        changed += not torch.equal(near_gradients[name], gradient)
    assert changed > len(gradients) / 2  # it does compute in bfloat16


def test_scores_are_float32_and_do_not_tie(backbone: Backbone, tokens: Tensor) -> None:
    ids = backbone.tokenizer()(CAPTIONS)
    scores = {}
    for compute in ("float32", "bfloat16"):
        model = learnt_method(backbone, compute=compute)
        frames, text = model.encode_videos(tokens), model.encode_texts(ids, 2)
        assert frames.dtype == text.words.dtype == text.text.dtype == torch.float32
        scores[compute] = word_frame_similarity(frames, text.words, text.lengths)
    assert scores["bfloat16"].dtype == torch.float32
    assert len(scores["bfloat16"].unique()) == scores["bfloat16"].numel()
    # what scores in bfloat16 would have been
    assert len(scores["float32"].bfloat16().unique()) < scores["float32"].numel() / 2
    assert float((scores["bfloat16"] - scores["float32"]).abs().max()) < 0.02
    assert not torch.equal(scores["bfloat16"], scores["float32"])


@pytest.mark.slow
def test_a_run_in_bfloat16_by_the_command_line(shared: Cli, tmp_path: Path) -> None:
    """Trained, measured and measured again.

    The same figures, and at stage 0 near those of float32.
    """
    runs = {}
    for compute in ("float32", "bfloat16"):
        runs[compute] = shared.json(
            "train",
            *QUICK,
            "--set",
            "epochs=1",
            "--set",
            f"compute={compute}",
            "--out",
            tmp_path / compute,
        )
    assert (
        json.loads((tmp_path / "bfloat16" / "config.json").read_text())["settings"]["compute"]
        == "bfloat16"
    )
    assert without_seconds(
        shared.json("eval", tmp_path / "bfloat16", "--again")
    ) == without_seconds(runs["bfloat16"])
    exact, rounded = (
        torch.tensor(runs[compute]["matrix"]["r1"][0]) for compute in ("float32", "bfloat16")
    )
    # one caption of eight may change places
    assert torch.allclose(exact, rounded, atol=100 / 8 + 1e-6)


def test_a_run_made_before_there_was_a_choice(shared: Cli, tmp_path: Path) -> None:
    before = shared.json("train", *QUICK, "--set", "epochs=1", "--out", tmp_path / "run")
    as_version_0_3(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    del config["settings"]["compute"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert shared.json("eval", tmp_path / "run", "--again")["matrix"] == before["matrix"]


def test_quick_gelus_factors_lie_in_the_weights_and_the_backbone_stays_as_it_was(
    backbone: Backbone, tokens: Tensor
) -> None:
    quick = replace(
        backbone, model=build_model("demo", {**backbone.config, "quick_gelu": True}, seed=0)
    )
    before, visual = hash_weights(quick.model.state_dict()), quick.model.visual
    assert isinstance(visual.transformer.resblocks[-1].mlp.gelu, QuickGELU)
    x = tokens.float().flatten(0, 1)
    for block in visual.transformer.resblocks[CUT:]:
        x = block(x)
    expected = visual.ln_post(x[:, 0]) @ visual.proj
    for compute, near in (("float32", 1e-5), ("bfloat16", 0.05)):
        ours = learnt_method(quick, compute=compute).pretrained.encode_frames(tokens).flatten(0, 1)
        assert float((ours - expected).norm() / expected.norm()) < near
    assert hash_weights(quick.model.state_dict()) == before

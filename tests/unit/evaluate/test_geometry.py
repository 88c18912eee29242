"""What is said of the classes' geometry is what the formulas say."""

import pytest
import torch
from helpers.methods import make_method
from structalign.backbones.backbone import load_backbone
from structalign.evaluate.geometry import class_cosines, drift
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.methods.structalign.simplex import simplex_etf
from structalign.train.seeds import generator


def test_a_simplex_has_no_deviation() -> None:
    frame = simplex_etf(5, 16, generator(0, "etf"))
    labels = torch.arange(5).repeat_interleave(3)
    found = class_cosines(frame[labels] + 2.0, labels)
    assert found is not None and found["classes"] == 5 and found["ideal"] == -0.25
    assert found["deviation"] == pytest.approx(0, abs=1e-6)
    assert found["quantiles"] == pytest.approx([-0.25] * 5, abs=1e-6)
    bent = class_cosines(torch.cat([frame[labels][:-3], frame[labels][:3] + 0.1]), labels)
    assert bent is not None and bent["deviation"] > 0.1
    assert class_cosines(frame[:2], torch.arange(2)) is None


def test_drift_is_a_cosine() -> None:
    frames = torch.nn.functional.normalize(
        torch.randn(4, 3, 8, generator=generator(0, "x")), dim=-1
    )
    assert drift(frames, frames) == pytest.approx(1)
    assert drift(frames, -frames) == pytest.approx(-1)


def test_experts_and_gates() -> None:
    backbone = load_backbone("demo", "demo")
    method = make_method("finetune", backbone, 2, experts=3, rank=4, adapted_blocks=2)
    assert isinstance(method, AdaptedMethod)
    ids = backbone.tokenizer()(["a red ball", "two blue stars fall", "a square"])
    assert method.expert_use(ids, 1) == [1.0, 0.0, 0.0]
    use = method.expert_use(ids, 2)
    assert sum(use) == pytest.approx(1, abs=1e-5) and len(use) == 3 and min(use) >= 0
    with torch.no_grad():
        for experts in method.experts:
            experts.route.zero_()  # type: ignore[operator]
    assert sorted(method.expert_use(ids, 2)) == pytest.approx([0, 0.5, 0.5])  # two of three, equal
    found = method.diagnostics([ids, ids])
    assert found["gates"] == {"4": 0.0, "5": 0.0} and len(found["experts"]) == 2
    assert make_method("zeroshot", backbone).diagnostics([ids]) == {}

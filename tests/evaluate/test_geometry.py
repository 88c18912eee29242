"""What is said of the classes' geometry is what the formulas say."""

import pytest
import torch

from cache.backbone import load_backbone
from evaluate.geometry import class_cosines, drift, expert_use, gates
from train.database import Block
from train.etf import simplex_etf
from train.model import Model
from train.seeds import generator
from train.settings import resolve
from train.stream import Queries


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
    frames = torch.nn.functional.normalize(torch.randn(4, 3, 8, generator=generator(0, "x")), dim=-1)
    block = Block(("a", "b", "c", "d"), frames)
    assert drift(block, block) == pytest.approx(1)
    assert drift(block, Block(block.clips, -frames)) == pytest.approx(-1)


def test_experts_and_gates() -> None:
    backbone = load_backbone("demo", "demo")
    model = Model(backbone, resolve("demo", "structalign:experts=3:adapted_blocks=2", {}).settings, 2, generator(0, "initialisation"))
    ids = backbone.tokenizer()(["a red ball", "two blue stars fall", "a square"])
    queries = Queries(("a", "b", "c"), ids, torch.arange(3))
    assert expert_use(model, queries, 1) == [1.0, 0.0, 0.0]
    use = expert_use(model, queries, 2)
    assert sum(use) == pytest.approx(1, abs=1e-5) and len(use) == 3 and min(use) >= 0
    with torch.no_grad():
        for experts in model.text.experts:
            experts.route.zero_()  # type: ignore[operator, union-attr]
    assert sorted(expert_use(model, queries, 2)) == pytest.approx([0, 0.5, 0.5])  # two of three are chosen, and are equal
    assert gates(model) == {"4": 0.0, "5": 0.0}

"""``compile=true`` is the same towers but for rounding, dropout and noisy routing included."""

import pytest
import torch
from helpers.steps import CAPTIONS, learnt_method, random_tokens, step
from structalign.backbones.backbone import load_backbone
from structalign.core.errors import StructAlignError
from structalign.train.model.compiled import compiled
from torch._dynamo.utils import counters
from torch._inductor import config


@pytest.mark.slow
def test_losses_and_gradients_while_training() -> None:
    """Noise comes from the same generators in the same order: what is drawn is equal."""
    backbone = load_backbone("demo", "demo")
    ids, tokens = backbone.tokenizer()(CAPTIONS), random_tokens(backbone)
    losses, gradients = step(learnt_method(backbone).train(), ids, tokens)
    counters.clear()
    fused = learnt_method(backbone, compile=True).train()
    near, near_gradients = step(fused, ids, tokens)
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0 and not counters["graph_break"]
    assert near == pytest.approx(losses, rel=1e-4)
    assert set(near_gradients) == set(gradients)
    for name, gradient in gradients.items():
        apart = float((near_gradients[name] - gradient).norm())
        assert apart < 1e-3 * float(gradient.norm()) + 1e-7, name
    with torch.no_grad():  # nothing is compiled for what learns nothing
        fused.encode_texts(ids, 2)
        fused.encode_videos(tokens)
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.slow
def test_a_machine_without_a_compiler() -> None:
    fused = compiled(torch.sin)
    with (
        config.patch({"cpp.cxx": ("/nowhere/c++",), "fx_graph_cache": False}),
        pytest.raises(StructAlignError, match=r"compile=true: .*/nowhere/c\+\+.*leave the setting"),
    ):
        fused(torch.ones(300))

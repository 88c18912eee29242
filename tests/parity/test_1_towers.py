"""Topic 1: both towers compute what the official code computes, from the tokens of every cut."""

import re
from typing import cast

import pytest
import torch
from helpers.golden import SLOTS, Golden, close
from structalign.train.methods.structalign.official import official_words
from structalign.train.model.adapters import TextExperts
from torch.nn import functional as F

IO = "1_model_io"


def test_frame_embeddings_from_every_cut(golden: Golden) -> None:
    hidden = golden.get(IO, "vision.hidden_states")
    layers = golden.config["vision"]["num_hidden_layers"]
    frames = golden.get(IO, "pixel_values").shape[1]
    for cut in range(layers):
        with torch.no_grad():
            model = golden.method(cut=cut)
            embeds = model.frames(hidden[cut].unflatten(1, (frames, -1)))
        close(embeds, golden.get(IO, "vision.frame_embeds"))
        close(F.normalize(embeds, dim=-1), golden.get(IO, "vision.frame_embeds_norm"))
        pooled = embeds.mean(1)
        close(pooled, golden.get(IO, "vision.pooled"))
        close(F.normalize(pooled, dim=-1), golden.get(IO, "vision.pooled_norm"))


def test_stem_gives_the_tokens_of_every_frozen_cut(golden: Golden) -> None:
    pixels, hidden = golden.get(IO, "pixel_values"), golden.get(IO, "vision.hidden_states")
    first = golden.config["vision"]["num_hidden_layers"] - golden.config["adapter_applied_layer"]
    for cut in range(first + 1):
        tokens = golden.backbone(golden.weights, cut).stem(cut)(pixels.flatten(0, 1))
        close(tokens.unflatten(0, pixels.shape[:2]).flatten(1, 2), hidden[cut])


def test_class_tokens_after_the_last_norm(golden: Golden) -> None:
    expected = golden.get(IO, "vision.cls_post_ln")
    projection = golden.weights["clipmodel.visual_projection.weight"]
    close(expected @ projection.T, golden.get(IO, "vision.frame_embeds"))


@pytest.mark.parametrize("path", ["pnone", "p1", "p2", "p3"])
def test_captions_by_every_path(golden: Golden, path: str) -> None:
    if f"text.{path}.global" not in golden.file(IO):
        pytest.skip("this set has fewer tasks")
    task = None if path == "pnone" else int(path[1:])
    model = golden.method()
    with torch.no_grad():
        visible = golden.get(IO, "attention_mask").bool()
        ids = golden.get(IO, "input_ids")
        features = model.read_text(ids, model.experts, model.route(task), visible)
    close(features.text, golden.get(IO, f"text.{path}.global"))
    lengths = golden.get(IO, f"text.{path}.words.len")
    assert torch.equal(features.lengths, lengths)
    expected = golden.get(IO, f"text.{path}.words")
    for row, length in enumerate(lengths.tolist()):
        close(features.words[row, :length], expected[row, :length])


@pytest.mark.parametrize("path", ["pnone", "p1", "p2", "p3"])
def test_text_hidden_states(golden: Golden, path: str) -> None:
    if f"text.{path}.last_hidden" not in golden.file(IO):
        pytest.skip("this set has fewer tasks")
    ids, hidden = golden.get(IO, "input_ids"), golden.get(IO, f"text.{path}.last_hidden")
    projected = hidden @ golden.weights["clipmodel.text_projection.weight"].T
    close(projected[torch.arange(len(ids)), ids.argmax(-1)], golden.get(IO, f"text.{path}.global"))
    words = official_words(ids)
    for row in range(len(ids)):
        close(
            projected[row][words[row]],
            golden.get(IO, f"text.{path}.words")[row, : int(words[row].sum())],
        )


@pytest.mark.parametrize("path", ["pnone", "p2", "p3"])
def test_gates_of_every_adapter(golden: Golden, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if f"text.{path}.gates" not in golden.file(IO):
        pytest.skip("this set has fewer tasks")
    model = golden.method()
    seen, logits = [], []
    for experts in model.experts:
        gate = experts.gates

        def spy(routing, slots, noise, gate=gate, experts=experts):  # type: ignore[no-untyped-def]
            seen.append(gate(routing, slots, noise))
            logits.append(torch.einsum("seh,bh->sbe", experts.route[slots], routing))
            return seen[-1]

        monkeypatch.setattr(experts, "gates", spy)
    route = model.route(None if path == "pnone" else int(path[1:]))
    with torch.no_grad():
        visible = golden.get(IO, "attention_mask").bool()
        model.read_text(golden.get(IO, "input_ids"), model.experts, route, visible)
    close(torch.cat(seen).unflatten(0, (-1, 4)), golden.get(IO, f"text.{path}.gates"))
    close(torch.cat(logits).unflatten(0, (-1, 4)), golden.get(IO, f"text.{path}.route_logits"))


def test_which_positions_are_words(golden: Golden) -> None:
    ids = golden.get(IO, "edge.input_ids")
    assert torch.equal(official_words(ids).long(), golden.get(IO, "edge.is_word"))


def test_edge_captions(golden: Golden) -> None:
    model, ids = golden.method(), golden.get(IO, "edge.input_ids")
    with torch.no_grad():
        visible = golden.get(IO, "edge.attention_mask").bool()
        features = model.read_text(ids, model.experts, model.route(2), visible)
    close(features.text, golden.get(IO, "edge.p2.global"))
    lengths = golden.get(IO, "edge.p2.words.len")
    assert torch.equal(features.lengths, lengths)
    expected = golden.get(IO, "edge.p2.words")
    for row, length in enumerate(lengths.tolist()):
        close(features.words[row, :length], expected[row, :length])


def test_noisy_gating(golden: Golden) -> None:
    where = re.search(r"text layer (\d+), (\w+)_lora", golden.meaning(IO, "gating.x"))
    assert where is not None
    experts = cast(TextExperts, golden.method().experts[int(where[1])])
    slot = SLOTS.index(where[2])
    x, noise = golden.get(IO, "gating.x"), golden.get(IO, "gating.noise")
    with torch.no_grad():
        close(experts.gates(x, slice(slot, slot + 1), None)[0], golden.get(IO, "gating.gates_eval"))
        close(
            experts.gates(x, slice(slot, slot + 1), noise[None])[0],
            golden.get(IO, "gating.gates_train"),
        )

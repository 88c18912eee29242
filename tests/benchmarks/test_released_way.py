"""The baseline is honest: the released way's step computes what ours computes, in values and gradients."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cache.backbone import load_backbone
from tests.benchmarks.released_way import pair_by_pair, read_clip, released_losses
from train.methods.structalign import Replayed, StructAlign, Teacher
from train.model import Model
from train.prototypes import ClassPrototypes
from train.seeds import generator
from train.settings import resolve
from train.similarity import word_frame_similarity
from train.stream import Batch

FRAMES, PAIRS = 3, 4


def test_values_and_gradients(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for clip in range(3):
        (tmp_path / str(clip)).mkdir()
        for n in range(FRAMES):
            Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / str(clip) / f"{n}.png")
    backbone = load_backbone("demo", "demo")
    settings = replace(resolve("demo", "structalign:teacher=pretrained", {}).settings, adapted_blocks=2)
    model = Model(backbone, settings, 2, generator(0, "initialisation"))
    with torch.no_grad():
        for adapter in model.video.adapters.values():
            adapter.alpha.fill_(0.3)
        for experts in model.text.experts:
            experts.up.normal_(std=0.05, generator=generator(0, "up"))
    method = StructAlign(model, settings, 4, seed=0)
    method.task = 2
    labels = torch.arange(2)
    means = torch.randn(2, 2, model.dim, generator=generator(0, "means"))
    method.prototypes = ClassPrototypes(labels, means[0], torch.ones(2), means[1], torch.ones(2))
    drawn = Replayed(method.prototypes.draw(2 * PAIRS, generator(0, "a")), method.prototypes.draw(PAIRS, generator(0, "b")))
    method._draw = lambda batch: drawn  # type: ignore[method-assign]
    ids = backbone.tokenizer()(["a red ball bounces", "two small stars", "a red ball bounces up and down", "the square turns"])
    clips, classes = torch.tensor([0, 1, 0, 2]), torch.tensor([2, 3, 2, 3])

    theirs = released_losses(method, backbone, [tmp_path / str(clip) for clip in clips.tolist()], ids, classes, FRAMES, 2, None)
    torch.stack(list(theirs.values())).sum().backward()
    expected = {name: p.grad.clone() for name, p in model.learnt().items() if p.grad is not None}
    model.zero_grad()

    pixels = torch.stack([read_clip(tmp_path / str(clip), FRAMES, backbone.preprocessing) for clip in range(3)])
    tokens = backbone.model.visual._embeds(pixels.flatten(0, 1)).unflatten(0, (3, FRAMES))
    with torch.no_grad():
        text = model.encode_text(ids, 1, adapted=False)
        method.teacher = Teacher(model.video(tokens, adapted=False)[None], text.words, text.lengths, model.scale)
    distinct, place = clips.unique(return_inverse=True)
    ours = method.losses(Batch(tokens[distinct], place, ids, classes, clips, torch.arange(PAIRS), 0), None)  # type: ignore[arg-type]
    torch.stack(list(ours.values())).sum().backward()
    assert set(ours) == set(theirs) == {"contrastive", "crp", "etf", "replay"}
    for name, value in ours.items():
        assert float(value.detach()) == pytest.approx(float(theirs[name].detach()), rel=1e-4), name
    assert len(expected) > 10
    for name, gradient in expected.items():
        p = dict(model.learnt())[name]
        assert torch.allclose(p.grad, gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max())), name


def test_pair_by_pair_is_the_formula() -> None:
    backbone = load_backbone("demo", "demo")
    model = Model(backbone, resolve("demo", "structalign", {}).settings, 2, generator(0, "initialisation"))
    text = model.encode_text(backbone.tokenizer()(["a red ball", "two blue stars fall down"]), 1)
    frames = torch.randn(2, 3, model.dim, generator=generator(0, "frames"))
    assert torch.allclose(pair_by_pair(frames, text), word_frame_similarity(frames, text.words, text.lengths), atol=1e-6)

"""The baseline is honest.

The released way's step computes what ours computes, in values and gradients.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.methods import learn_something, make_method
from PIL import Image
from structalign.backbones.backbone import load_backbone
from structalign.benchmarks.parts.official_step import official_losses, pair_by_pair, read_clip
from structalign.train.methods.registry import load_method
from structalign.train.methods.structalign.method import Replayed, StructAlign, Teacher
from structalign.train.methods.structalign.simplex import simplex_etf
from structalign.train.model.similarity import word_frame_similarity
from structalign.train.seeds import generator
from structalign.train.stream import Batch

FRAMES, PAIRS = 3, 4


def test_values_and_gradients(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for clip in range(3):
        (tmp_path / str(clip)).mkdir()
        for n in range(FRAMES):
            Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(
                tmp_path / str(clip) / f"{n}.png"
            )
    backbone = load_backbone("demo", "demo")
    config = load_method("structalign:teacher=pretrained", "demo", "demo", {"adapted_blocks": 2})
    method = StructAlign(backbone, config, seed=0).eval()
    learn_something(method)
    dim = method.towers.dim
    method.task, method.directions = 2, simplex_etf(4, dim, generator(0, "etf"))
    features = torch.randn(2, 8, dim, generator=generator(0, "means"))
    method.prototypes.add(torch.arange(8) % 2, features[0], features[1])
    drawn = Replayed(
        method.prototypes.draw(2 * PAIRS, generator(0, "a")),
        method.prototypes.draw(PAIRS, generator(0, "b")),
    )
    method.draw_prototypes = lambda batch: drawn  # type: ignore[method-assign]
    ids = backbone.tokenizer()(
        [
            "a red ball bounces",
            "two small stars",
            "a red ball bounces up and down",
            "the square turns",
        ]
    )
    clips, classes = torch.tensor([0, 1, 0, 2]), torch.tensor([2, 3, 2, 3])

    theirs = official_losses(
        method, backbone, [tmp_path / str(clip) for clip in clips.tolist()], ids, classes, FRAMES, 2
    )
    torch.stack(list(theirs.values())).sum().backward()
    expected = {name: p.grad.clone() for name, p in method.learnt().items() if p.grad is not None}
    method.zero_grad()

    pixels = torch.stack(
        [read_clip(tmp_path / str(clip), FRAMES, backbone.preprocessing) for clip in range(3)]
    )
    tokens = backbone.model.visual._embeds(pixels.flatten(0, 1)).unflatten(0, (3, FRAMES))
    with torch.no_grad():
        text = method.pretrained.encode_texts(ids)
        frames = method.pretrained.encode_frames(tokens)[None]
        method.teacher = Teacher(frames, text.words, text.lengths, method.towers.scale)
    distinct, place = clips.unique(return_inverse=True)
    ours = method.losses(
        Batch(tokens[distinct], place, ids, classes, clips, torch.arange(PAIRS), 0)
    )
    torch.stack(list(ours.values())).sum().backward()
    assert set(ours) == set(theirs) == {"contrastive", "crp", "etf", "replay"}
    for name, value in ours.items():
        assert float(value.detach()) == pytest.approx(float(theirs[name].detach()), rel=1e-4), name
    assert len(expected) > 10
    for name, gradient in expected.items():
        learnt = dict(method.learnt())[name].grad
        assert learnt is not None and torch.allclose(
            learnt, gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max())
        ), name


def test_pair_by_pair_is_the_formula() -> None:
    backbone = load_backbone("demo", "demo")
    method = make_method("finetune", backbone)
    text = method.encode_texts(method.tokenize(["a red ball", "two blue stars fall down"]), 1)
    frames = torch.randn(2, 3, method.towers.dim, generator=generator(0, "frames"))
    assert torch.allclose(
        pair_by_pair(frames, text),
        word_frame_similarity(frames, text.words, text.lengths),
        atol=1e-6,
    )

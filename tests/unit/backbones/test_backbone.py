"""The demo backbone is an ordinary open_clip model.

Weights come from a tag, a safe file, or a seed.
"""

from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from structalign.backbones.backbone import load_backbone
from structalign.backbones.pretrained import DEMO_FOLDER
from structalign.cache import StructAlignError
from structalign.cache.spec import Augmentation
from structalign.extract.datasets.demo.language import vocabulary
from structalign.extract.video.views import make_views
from torchvision.transforms.v2 import functional as V


def test_open_clips_factory_loads_the_demo_backbone() -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{DEMO_FOLDER}")
    ours = load_backbone("demo", "demo")
    for name, value in model.state_dict().items():
        assert torch.equal(value, ours.model.state_dict()[name]), name
    picture = torch.randint(
        0, 256, (3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    theirs = preprocess(V.to_pil_image(picture))
    assert isinstance(V.to_pil_image(picture), Image.Image)
    view = make_views(
        picture.permute(1, 2, 0).numpy()[None],
        "a",
        1,
        Augmentation(1, 0, 1.0, False),
        ours.preprocessing,
    )[0, 0]
    assert theirs.shape == view.shape
    assert (theirs - view).abs().mean() < 0.02  # PIL resizes integers, we resize floats


def test_every_word_of_the_world_is_one_token() -> None:
    tokenizer = load_backbone("demo", "demo").tokenizer()
    assert all(tokenizer.length(word) == 3 for word in vocabulary())


def test_weights_are_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in DEMO_FOLDER.iterdir()) < 10e6


def test_seeds_and_the_global_generator() -> None:
    before = torch.get_rng_state()
    a, b, c = (load_backbone("demo", f"random:{seed}") for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert a.weights == b.weights != c.weights
    assert a.random and not load_backbone("demo", "demo").random


def test_weights_from_files(tmp_path: Path) -> None:
    backbone = load_backbone("demo", "random:1")
    save_file(
        {name: value.contiguous() for name, value in backbone.model.state_dict().items()},
        tmp_path / "w.safetensors",
    )
    torch.save(
        {
            "state_dict": {
                f"module.{name}": value for name, value in backbone.model.state_dict().items()
            }
        },
        tmp_path / "w.pt",
    )
    for name in ("w.safetensors", "w.pt"):
        assert load_backbone("demo", str(tmp_path / name)).weights == backbone.weights
    save_file({"logit_scale": torch.zeros(())}, tmp_path / "other.safetensors")
    with pytest.raises(StructAlignError, match="do not fit backbone 'demo'"):
        load_backbone("demo", str(tmp_path / "other.safetensors"))


def test_open_clips_own_text_tower_works_on_weights_from_a_file() -> None:
    """Its causal mask is no weight: it is not in the file."""
    ours = load_backbone("demo", "demo")
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{DEMO_FOLDER}")
    ids = ours.tokenizer()(["a red ball bounces", "two small stars"])
    assert torch.allclose(ours.model.encode_text(ids), theirs.eval().encode_text(ids), atol=1e-6)
    assert not any(parameter.requires_grad for parameter in ours.model.parameters())

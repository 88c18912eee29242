"""The plain ViT accepts what it can cut, and its halves are open_clip's tower to the bit."""

from typing import Any

import open_clip
import pytest
import torch
from structalign.backbones import is_accepted, load_backbone
from structalign.backbones.backbone import build_model
from structalign.backbones.families.plain_vit import FAMILY
from structalign.backbones.family import family_of
from structalign.backbones.identity import Preprocessing
from structalign.cache import StructAlignError

CUT = 2


def _configurations() -> list[Any]:
    """One open_clip configuration for each set of vision options that it has, made smaller."""
    found = {}
    for name in filter(is_accepted, open_clip.list_models()):
        config = open_clip.get_model_config(name)
        if not FAMILY.is_of(config):
            continue
        vision, text = config["vision_cfg"], config["text_cfg"]
        key = (*sorted(vision), vision.get("mlp_ratio"), bool(config.get("quick_gelu")))
        small = {**vision, "layers": 3, "width": 2 * vision.get("head_width", 64)}
        small |= {"image_size": 2 * vision["patch_size"]}
        shallow = {"vision_cfg": small, "text_cfg": {**text, "layers": 1, "vocab_size": 9}}
        found[key] = pytest.param({**config, **shallow}, id=name)
    return list(found.values())


@pytest.mark.parametrize("config", _configurations())
def test_stem_and_tail_are_open_clips_to_the_bit(config: dict[str, Any]) -> None:
    """For every set of options that an accepted vision tower has: caches stay what they were."""
    model = build_model("a", config, seed=0)
    visual, size = model.visual, config["vision_cfg"]["image_size"]
    family = family_of("a", config)
    stem = family.stem(config, Preprocessing(size, (), ()), CUT, visual.state_dict())
    pixels = torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = visual._embeds(pixels)
        for block in visual.transformer.resblocks[:CUT]:
            x = block(x)
        assert torch.equal(stem(pixels), x)
        assert torch.equal(family.tail(model, CUT)(x), visual(pixels))


def test_options_of_a_vision_tower_that_the_stem_does_not_know_are_refused() -> None:
    config = open_clip.get_model_config("ViT-B-32")
    config["vision_cfg"]["qk_norm"] = True
    with pytest.raises(StructAlignError, match="its vision tower has 'qk_norm'"):
        build_model("a", config, seed=None)


def test_halves_and_shape_at_every_cut() -> None:
    backbone = load_backbone("demo", "demo")
    pixels = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    whole = backbone.model.encode_image(pixels)
    for cut in range(backbone.blocks):
        tokens = backbone.stem(cut)(pixels)
        assert tokens.shape[1:] == backbone.token_shape
        assert torch.equal(backbone.tail(cut)(tokens), whole)
    for cut in (-1, backbone.blocks):
        for half in (backbone.stem, backbone.tail):
            with pytest.raises(
                StructAlignError, match=rf"cut {cut} does not lie in 0\.\.5: 'demo'"
            ):
                half(cut)

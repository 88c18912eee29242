"""open_clip's models with few, narrow blocks and small pictures: the same code, in milliseconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import open_clip
import pytest
import timm
from structalign.backbones import load_backbone
from structalign.backbones.backbone import Backbone
from structalign.backbones.families import timm_vit

TEXT: dict[str, Any] = {"layers": 2, "width": 64, "heads": 2, "vocab_size": 49408, "eos_id": 49407}
DECODER = {"multimodal_cfg": {"width": 64, "heads": 2, "layers": 1, "context_length": 76}}
FIXED_WIDTH = ("vitamin", "vit_base_mci")  # their convolutions are as wide as they are


def timm_changes(name: str) -> dict[str, Any]:
    """What makes one of timm's towers small."""
    size = 56 if "patch14" in name else 64
    if name.startswith("convnext"):
        return {"depths": (1,) * 4, "dims": (8, 16, 24, 32)}
    if name.startswith("fastvit"):
        return {"layers": (1,) * 4}
    if name.startswith(FIXED_WIDTH):
        return {"depth": 3, "img_size": size}
    return {"depth": 3, "img_size": size, "embed_dim": 64, "num_heads": 2}


def small_config(name: str) -> Any:
    """open_clip's configuration of a name, shrunk; captions go through CLIP's tokenizer."""
    config = REAL_CONFIG(name)
    if config is None:
        return None
    vision, text = config["vision_cfg"], config["text_cfg"]
    if trunk := vision.get("timm_model_name"):
        small = {**vision, "image_size": timm_changes(trunk).get("img_size", 64)}
    elif isinstance(vision.get("layers"), int):
        small = {**vision, "layers": 3, "width": 128, "head_width": 32}
        small |= {"image_size": 2 * vision["patch_size"]}
    else:
        small = {**vision, "layers": [1] * 4, "width": 8, "image_size": 64}
    text = {key: value for key, value in {**text, **TEXT}.items() if key != "hf_tokenizer_name"}
    decoder = DECODER if "multimodal_cfg" in config else {}
    return {**config, **decoder, "vision_cfg": small, "text_cfg": text, "embed_dim": 64}


def small_timm(name: str, **arguments: Any) -> Any:
    return REAL_TIMM(name, **{**arguments, **timm_changes(name)})


REAL_CONFIG, REAL_TIMM = open_clip.get_model_config, timm.create_model


@contextmanager
def made_small() -> Iterator[None]:
    """While it lasts, ``load_backbone`` makes open_clip's models small."""
    timm_vit._outline.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "get_model_config", small_config)
        patch.setattr(timm, "create_model", small_timm)
        yield
    timm_vit._outline.cache_clear()


@pytest.fixture
def small_towers() -> Iterator[Callable[[str], Backbone]]:
    """Loads one of open_clip's models, small and with random weights, by its name."""
    with made_small():
        yield lambda name: load_backbone(name, "random:0")

"""A backbone's split weights travel as files.

Each gives what the whole gives, alone, and a changed weight is noticed.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from structalign.backbones.backbone import Backbone, build_model, load_backbone
from structalign.backbones.identity import Preprocessing
from structalign.backbones.saved_names import STEM_FILE
from structalign.backbones.split_weights import load_frozen, save_frozen
from structalign.backbones.stem import Stem, load_stem, save_stem
from structalign.cache import StructAlignError

CUT = 2


@pytest.fixture
def whole(tmp_path: Path) -> Backbone:
    backbone = load_backbone("demo", "demo")
    save_frozen(backbone, CUT, tmp_path)
    return backbone


def test_the_stem_gives_the_same_tokens_from_its_file(whole: Backbone, tmp_path: Path) -> None:
    stem = whole.stem(CUT)
    read = load_stem(tmp_path, save_stem(stem, tmp_path))
    pixels = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read(pixels), stem(pixels))
    assert read.preprocessing == whole.preprocessing
    read.to("cpu")  # nothing is left on the meta device, which cannot be moved


def _configurations() -> list[Any]:
    """One open_clip configuration for each set of vision options that it has, made smaller."""
    found = {}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        vision = config["vision_cfg"]
        plain = isinstance(vision.get("layers"), int) and not vision.get("timm_model_name")
        text = config.get("text_cfg", {})
        foreign = "hf_model_name" in text or "hf_tokenizer_name" in text
        if not plain or foreign or config.get("custom_text") or "multimodal_cfg" in config:
            continue
        key = (*sorted(vision), vision.get("mlp_ratio"), bool(config.get("quick_gelu")))
        small = {**vision, "layers": 3, "width": 2 * vision.get("head_width", 64)}
        small |= {"image_size": 2 * vision["patch_size"]}
        shallow = {"vision_cfg": small, "text_cfg": {**text, "layers": 1}}
        found[key] = pytest.param({**config, **shallow}, id=name)
    return list(found.values())


@pytest.mark.parametrize("config", _configurations())
def test_the_stem_is_open_clips_to_the_bit(config: dict[str, Any]) -> None:
    """For every set of options that a vision tower we can cut has: caches stay what they were."""
    model = build_model("a", config, seed=0)
    visual, size = model.visual, config["vision_cfg"]["image_size"]
    stem = Stem(config, Preprocessing(size, (), ()), CUT, visual.state_dict())
    pixels = torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = visual._embeds(pixels)
        for block in visual.transformer.resblocks[:CUT]:
            x = block(x)
    assert torch.equal(stem(pixels), x)


def test_options_of_a_vision_tower_that_the_stem_does_not_know_are_refused() -> None:
    config = open_clip.get_model_config("ViT-B-32")
    config["vision_cfg"]["no_ln_pre"] = True
    with pytest.raises(StructAlignError, match="its vision tower has 'no_ln_pre'"):
        build_model("a", config, seed=None)


def test_the_two_halves_are_the_whole(whole: Backbone, tmp_path: Path) -> None:
    stem = {f"visual.{name}": value for name, value in whole.stem(CUT).state_dict().items()}
    after = load_frozen(tmp_path, whole.weights).model.state_dict()
    rest = {name: value for name, value in after.items() if value is not None}
    assert not set(stem) & set(rest)
    both, state = {**stem, **rest}, whole.model.state_dict()
    assert set(both) == set(state)
    assert all(torch.equal(both[name], value) for name, value in state.items())


def test_a_worker_imports_no_library_that_it_does_not_use() -> None:
    """open_clip and torchvision take longer to import than all the rest."""
    code = "import sys, structalign.extract.engines.ray_data; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded and not loaded & {"open_clip", "torchvision", "timm", "ray", "av"}


def test_other_weights_are_not_taken_for_the_stem(whole: Backbone, tmp_path: Path) -> None:
    digest = save_stem(whole.stem(CUT), tmp_path)
    save_stem(load_backbone("demo", "random:1").stem(CUT), tmp_path)
    with pytest.raises(
        StructAlignError, match=f"{STEM_FILE} does not hold the weights that were written"
    ):
        load_stem(tmp_path, digest)
    (tmp_path / STEM_FILE).unlink()
    with pytest.raises(StructAlignError, match="missing or damaged"):
        load_stem(tmp_path, digest)

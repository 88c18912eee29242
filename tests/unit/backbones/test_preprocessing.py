"""A tag's weights get the preprocessing and the activation that they were trained with."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIPVisionCfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors.torch import save_file
from structalign.backbones import is_accepted, load_backbone, preprocessing_of
from structalign.backbones.backbone import build_model
from structalign.backbones.identity import Preprocessing, split_pretrained
from structalign.backbones.split_weights import save_frozen
from structalign.core.errors import StructAlignError

SMALL: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """open_clip's names with small towers, and a file of weights that every tag 'downloads'."""
    file = tmp_path / "weights.safetensors"
    save_file(dict(build_model("small", SMALL, seed=0).state_dict()), file)
    real = open_clip.get_model_config

    def small_config(name: str) -> dict[str, Any]:
        quick = real(name).get("quick_gelu")
        return SMALL if quick is None else {**SMALL, "quick_gelu": quick}

    monkeypatch.setattr(open_clip, "get_model_config", small_config)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda source: str(file))
    return file


def test_every_tag_has_open_clips_own_preprocessing_and_activation() -> None:
    """Over all pairs of name and tag, as open_clip merges its defaults, tag and configuration."""
    pairs = open_clip.list_pretrained()
    modes: Counter[str] = Counter()
    for name, tag in pairs:
        source = open_clip.get_pretrained_cfg(name, tag)
        merged = merge_preprocess_dict(PreprocessCfg(), source)
        vision = open_clip.get_model_config(name)["vision_cfg"]
        fields = CLIPVisionCfg.__dataclass_fields__
        tower = CLIPVisionCfg(**{key: vision[key] for key in vision if key in fields})
        ours = preprocessing_of(name, tag)
        assert ours == {
            "size": tower.image_size,
            "mean": tuple(merged["mean"]),
            "std": tuple(merged["std"]),
            "interpolation": merged["interpolation"],
            "resize_mode": merged["resize_mode"],
            "quick_gelu": source.get("quick_gelu", False),
        }, (name, tag)
        modes[ours["resize_mode"]] += 1
    assert len(pairs) >= 196 and modes["squash"] >= 48
    assert preprocessing_of("ViT-H-14-378-quickgelu", "dfn5b")["resize_mode"] == "squash"


def test_the_demo_backbones_preprocessing_is_in_its_own_file() -> None:
    demo = preprocessing_of("demo", "demo")
    assert (demo["size"], demo["mean"], demo["quick_gelu"]) == (48, (0.4, 0.4, 0.4), False)
    for name, tag in (("demo", "openai"), ("ViT-B-32", "no such tag"), ("no such name", "openai")):
        with pytest.raises(StructAlignError, match="unknown"):
            preprocessing_of(name, tag)


@pytest.mark.parametrize(
    ("name", "tag", "quick"),
    [
        ("ViT-B-32", "openai", True),
        ("ViT-B-32", "laion2b_s34b_b79k", False),
        ("ViT-B-32-quickgelu", "openai", True),
        ("ViT-H-14-378", "dfn5b", True),
    ],
)
def test_the_towers_have_the_tags_activation(small: Path, name: str, tag: str, quick: bool) -> None:
    """open_clip builds the name's, and warns."""
    assert is_accepted(name)
    backbone = load_backbone(name, tag)
    assert bool(backbone.config.get("quick_gelu")) is quick
    assert backbone.preprocessing.resize_mode == preprocessing_of(name, tag)["resize_mode"]
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    right = build_model("small", {**SMALL, "quick_gelu": quick}, seed=0)
    assert torch.equal(backbone.tail(1)(backbone.stem(1)(pixels)), right.encode_image(pixels))
    ids = backbone.tokenizer()(["a red ball"])
    assert torch.equal(backbone.model.encode_text(ids), right.encode_text(ids))


def test_the_activation_is_part_of_the_hash_where_it_is_not_the_names_own(small: Path) -> None:
    own = load_backbone("ViT-B-32", "laion2b_s34b_b79k")
    assert own.weights == load_backbone("ViT-B-32", str(small)).weights
    assert own.weights != load_backbone("ViT-B-32", "openai").weights


def test_a_tags_weights_from_a_file_are_the_tags(small: Path) -> None:
    """For those who fetched the file by hand."""
    by_tag = load_backbone("ViT-H-14-378", "dfn5b")
    by_file = load_backbone("ViT-H-14-378", f"dfn5b={small}")
    assert by_file.identity == by_tag.identity
    assert split_pretrained(f"dfn5b={small}") == ("dfn5b", small)
    with pytest.raises(StructAlignError, match="unknown weights 'dfn6b'"):
        load_backbone("ViT-H-14-378", f"dfn6b={small}")


def test_a_cache_that_was_made_with_another_activation_keeps_it(
    small: Path, tmp_path: Path
) -> None:
    """A new video gets the tokens that the cache's own clips got, not those of its tag today."""
    today = load_backbone("ViT-B-32", "openai")
    other = Preprocessing(32, (0.0,) * 3, (1.0,) * 3)
    made = replace(load_backbone("ViT-B-32", str(small)), preprocessing=other)
    (tmp_path / "saved").mkdir()
    save_frozen(made, 1, tmp_path / "saved")
    again = load_backbone("ViT-B-32", "openai", tmp_path / "saved")
    assert again.weights == made.weights != today.weights
    assert again.preprocessing == other != today.preprocessing


def test_only_an_unusual_resize_mode_is_part_of_the_fingerprint() -> None:
    shortest = Preprocessing(32, (0.5,) * 3, (0.5,) * 3)
    squash = replace(shortest, resize_mode="squash")
    assert "resize_mode" not in shortest.as_json()
    assert squash.as_json()["resize_mode"] == "squash"
    for preprocessing in (shortest, squash):
        assert Preprocessing.from_json(preprocessing.as_json()) == preprocessing
        assert asdict(preprocessing)["size"] == 32

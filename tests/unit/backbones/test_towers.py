"""Every tower that can be cut gives what open_clip's own gives, and the others say why not."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import open_clip
import pytest
import torch
from helpers.methods import make_method
from helpers.towers import small_towers
from open_clip.transformer import text_global_pool
from safetensors.torch import save_file
from structalign.backbones import is_accepted, load_backbone
from structalign.backbones.backbone import Backbone
from structalign.backbones.family import families
from structalign.backbones.split_weights import load_frozen, save_frozen
from structalign.backbones.stem import load_stem, save_stem
from structalign.cache import StructAlignError
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.model.adapters import TextExperts

Load = Callable[[str], Backbone]
small = small_towers  # a fixture
ONE_OF_EACH_KIND = [
    "ViT-H-14-worldwide",  # plain, captions read at the end token
    "ViT-L-14-CLIPA",  # mean of patches, no first norm
    "ViT-M-16-alt",  # learnt factors of branches
    "ViT-B-16-SigLIP",  # attention pooling, no class token
    "ViT-SO400M-16-SigLIP-i18n-256",  # captions without projection
    "PE-Core-B-16",  # rotary positions, attention pooling, class token
    "PE-Core-bigG-14-448",  # the same without class token
    "EVA01-g-14",
    "EVA02-B-16",  # rotary positions, SwiGLU
    "EVA02-E-14",  # norms after the branches
    "MobileCLIP-B",  # convolutions before the blocks
    "MobileCLIP2-L-14",  # captions see their padding
    "ViTamin-S",  # convolutions before the blocks, mean of patches
]


def pictures(backbone: Backbone, count: int = 4) -> torch.Tensor:
    size = backbone.preprocessing.size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_halves_are_open_clips_tower_to_the_bit(name: str, small: Load) -> None:
    backbone = small(name)
    pixels = pictures(backbone)
    with torch.inference_mode():
        whole = backbone.model.encode_image(pixels)
    for cut in (0, backbone.blocks // 2, backbone.blocks - 1):
        tokens = backbone.stem(cut)(pixels)
        assert tokens.shape[1:] == backbone.token_shape
        assert torch.equal(backbone.tail(cut)(tokens), whole)
        near = backbone.tail(cut)(tokens.half().float())
        assert float(torch.cosine_similarity(near, whole, dim=-1).min()) > 0.9999


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_from_files_alone_with_adapters_at_their_start(
    name: str, small: Load, tmp_path: Path
) -> None:
    """What a worker and a training read: the model is built without weights and then filled."""
    backbone, cut = small(name), 1
    pixels = pictures(backbone)
    file = tmp_path / "weights.safetensors"
    save_file({k: v.clone() for k, v in backbone.model.state_dict().items()}, file)
    again = load_backbone(name, str(file))
    assert again.weights == backbone.weights
    save_frozen(again, cut, tmp_path)
    stem = load_stem(tmp_path, save_stem(again.stem(cut), tmp_path))
    frozen = load_frozen(tmp_path, backbone.weights)
    tokens = stem(pixels)
    assert torch.equal(tokens, backbone.stem(cut)(pixels))
    method = make_method("finetune", frozen, rank=4, experts=2)
    with torch.inference_mode():
        whole, ours = backbone.model.encode_image(pixels), method.frames(tokens[None])[0]
        assert float((ours - whole).abs().max()) < 1e-4 * float(whole.abs().max())
    captions = ["a red ball", "two small blue stars fall down on the ground"]
    token_ids = backbone.tokenizer()(captions)
    with torch.inference_mode():
        theirs, text = backbone.model.encode_text(token_ids), method.encode_texts(token_ids, 1)
    assert float((text.text - theirs).abs().max()) < 1e-4 * float(theirs.abs().max())
    assert text.lengths.tolist() == [3, 9]
    read: list[torch.Tensor] = []
    experts = cast(TextExperts, cast(AdaptedMethod, method).experts[0])
    experts.register_forward_pre_hook(
        lambda module, given: read.append(experts.routing_input(given[0], given[2], given[3]))
    )
    text, tower = backbone.config["text_cfg"], method.towers.text
    with torch.inference_mode():
        method.text_features(token_ids, None)
        states = cast(Any, tower.blocks[0]).ln_1(tower.embed(token_ids))
    pooled = text_global_pool(states, token_ids, tower.layout.pool, text["eos_id"])
    assert torch.equal(read[0], pooled), "the router reads the position that open_clip pools"


def test_what_is_accepted() -> None:
    """Of open_clip 3.3.0's 144 names 102 are cut, of its 196 pairs with weights 149."""
    assert set(families()) == {"coca", "maps", "plain_vit", "timm_vit"}
    names = set(filter(is_accepted, open_clip.list_models()))
    pairs = [name for name, _ in open_clip.list_pretrained() if name in names]
    assert len(names) >= 102 and len(pairs) >= 149
    assert set(ONE_OF_EACH_KIND) | {"ViT-B-32-quickgelu", "ViT-bigG-14"} <= names
    assert is_accepted("demo") and not is_accepted("no such name")


REFUSED = {
    "its vision tower is a ResNet, without blocks of tokens; freeze it with --cut all": ("RN",),
    "its vision tower is convnext_": ("convnext",),
    "its vision tower is fastvit_mci": ("MobileCLIP",),
    "it is a CoCa, whose vision tower has a head of its own; freeze it": ("coca_ViT",),
    "it is a CoCa without attention pooling": ("coca_base",),
    "its text tower is Hugging Face's": ("xlm", "roberta", "nllb", "mt5", "coca_roberta"),
    "its vision tower is swin_": ("swin",),
    "its vision tower's attention has relative positions": ("vit_relpos",),
}


def test_every_other_name_says_why() -> None:
    reasons: Counter[str] = Counter()
    for name in open_clip.list_models():
        if is_accepted(name):
            continue
        with pytest.raises(StructAlignError, match=f"backbone '{name}' cannot be cut: ") as error:
            load_backbone(name, "random:0")
        found = [r for r in REFUSED if r in str(error.value) and name.startswith(REFUSED[r])]
        assert len(found) == 1 and "; or use another such as" in str(error.value), error.value
        reasons[found[0]] += 1
    assert set(reasons) == set(REFUSED)


def test_random_numbers_are_drawn_by_no_block_that_learns(small: Load) -> None:
    """ViTamin and MobileCLIP2-L drop whole branches of blocks at random while they train."""
    for name in ("ViTamin-S", "MobileCLIP2-L-14"):
        method = make_method("clip4clip", small(name)).train()
        tokens = torch.randn(1, 2, *small(name).token_shape)
        before: Any = torch.get_rng_state()
        assert torch.equal(method.frames(tokens), method.frames(tokens))
        assert torch.equal(before, torch.get_rng_state())


def test_weights_without_the_text_prefix_or_the_loss_bias(small: Load, tmp_path: Path) -> None:
    """As open_clip itself loads them."""
    for name, left_out in (("EVA02-B-16", ""), ("ViT-B-16-SigLIP", "logit_bias")):
        state = dict(small(name).model.state_dict())
        prefix = "text." if not left_out else ""
        changed = {k.removeprefix(prefix): v.clone() for k, v in state.items() if k != left_out}
        save_file(changed, tmp_path / "weights.safetensors")
        loaded = load_backbone(name, str(tmp_path / "weights.safetensors")).model.state_dict()
        assert set(loaded) == set(state)
        assert all(torch.equal(loaded[k], v) for k, v in state.items() if k != left_out)

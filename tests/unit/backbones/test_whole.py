"""The whole tower frozen: embeddings of a frame and its cells, of towers without blocks, too."""

from collections import Counter
from pathlib import Path

import open_clip
import pytest
import torch
from helpers.methods import make_method
from helpers.towers import made_small
from structalign.backbones import is_accepted, load_backbone
from structalign.backbones.backbone import Backbone
from structalign.backbones.split_weights import load_frozen, save_frozen
from structalign.backbones.stem import load_stem, save_stem
from structalign.cache import StructAlignError

NAMES = [
    "RN50", "convnext_base_w", "convnext_large_d", "MobileCLIP-S1", "coca_ViT-B-32", "ViT-B-16",
    "ViT-L-14-CLIPA", "ViT-B-16-SigLIP", "PE-Core-B-16", "EVA02-B-16", "ViTamin-S",
]  # fmt: skip
REFUSED = {
    "its text tower is Hugging Face's": {"roberta", "xlm", "nllb"},  # the pairs among them
    "it is a CoCa without attention pooling": set(),
    "its vision tower is swin": set(),
    "its vision tower's attention has relative positions": set(),
}


def load(name: str, grid: int) -> Backbone:
    with made_small():
        return load_backbone(name, "random:0", grid=grid)


def pictures(backbone: Backbone) -> torch.Tensor:
    size = backbone.preprocessing.size
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_is_open_clips_embedding(name: str, tmp_path: Path) -> None:
    """But for rounding on the way; from files alone to the bit; no vision weight is kept."""
    with made_small():
        backbone = load_backbone(name, "random:0", grid=3)
        cut, pixels = backbone.blocks // 2, pictures(backbone)
        with torch.inference_mode():
            whole = backbone.model.encode_image(pixels)
            whole = whole if "coca" not in name else backbone.model.visual(pixels)[0]
        stem = backbone.stem(cut)
        tokens = stem(pixels)
        assert tokens.shape[1:] == backbone.token_shape == (10, 64)
        assert float((tokens[:, 0] - whole).abs().max()) < 2e-3 * float(whole.abs().max())
        save_frozen(backbone, cut, tmp_path)
        assert torch.equal(load_stem(tmp_path, save_stem(stem, tmp_path))(pixels), tokens)
        frozen = load_frozen(tmp_path, backbone.weights)
    kept = frozen.model.state_dict().items()
    assert not [key for key, value in kept if key.startswith("visual.") and value.ndim]
    method = make_method("finetune", frozen, rank=4, experts=2)
    assert torch.equal(method.frames(tokens[None])[0], tokens[:, 0])
    token_ids = backbone.tokenizer()(["a red ball", "two small blue stars fall down"])
    with torch.inference_mode():
        theirs = backbone.text(token_ids) if "coca" in name else (
            backbone.model.encode_text(token_ids),
        )  # fmt: skip
        ours = method.encode_texts(token_ids, 1)
    assert float((ours.text - theirs[0]).abs().max()) < 1e-4 * float(theirs[0].abs().max())
    assert ours.lengths.tolist() == [3, 6]


def test_cells_are_the_means_of_their_patches() -> None:
    backbone = load("ViT-B-16", 2)
    visual, pixels = backbone.model.visual, pictures(backbone)
    with torch.inference_mode():
        x = visual.ln_post(visual.transformer(visual._embeds(pixels)))[:, 1:] @ visual.proj
    tokens = backbone.stem(0)(pixels)
    assert tokens.shape == (4, 5, 64)
    rows = x.unflatten(1, (2, 2))
    for n, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), 1):
        apart = (tokens[:, n] - rows[:, row, column]).abs().max()
        assert float(apart) < 2e-3 * float(x.abs().max())
    alone, nine = (load("ViT-B-16", grid).stem(0)(pixels) for grid in (0, 3))
    assert torch.equal(alone[:, 0], tokens[:, 0])
    middle = rows.mean((1, 2))  # of 2 x 2 patches, the middle of 3 x 3 cells has all
    assert float((nine[:, 5] - middle).abs().max()) < 2e-3 * float(x.abs().max())


def test_187_of_196_pairs_are_frozen_and_the_others_say_why() -> None:
    pairs: Counter[str] = Counter(name for name, _ in open_clip.list_pretrained())
    accepted = {name for name in open_clip.list_models() if is_accepted(name, "all")}
    assert sum(pairs[name] for name in accepted) >= 185
    assert {name for name in open_clip.list_models() if is_accepted(name)} < accepted
    for name in set(open_clip.list_models()) - accepted:
        with pytest.raises(StructAlignError, match="cannot be frozen: ") as error:
            load_backbone(name, "random:0", grid=0)
        kinds = [kind for reason, kind in REFUSED.items() if reason in str(error.value)]
        assert len(kinds) == 1, error.value
        assert not pairs[name] or name.startswith(tuple(kinds[0])), name

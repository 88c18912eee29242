"""A backbone's split weights travel as files.

Each gives what the whole gives, alone, and a changed weight is noticed.
"""

from pathlib import Path

import pytest
import torch
from structalign.cache import StructAlignError
from structalign.cache.clip.backbone import Backbone, Stem, load_backbone
from structalign.cache.clip.split_weights import (
    STEM_FILE,
    load_frozen,
    load_stem,
    save_frozen,
    save_stem,
)
from torch import Tensor

CUT = 2


@pytest.fixture
def whole(tmp_path: Path) -> Backbone:
    backbone = load_backbone("demo", "demo")
    save_frozen(backbone, CUT, tmp_path)
    return backbone


def weights(backbone: Backbone) -> dict[str, Tensor]:
    return {name: value for name, value in backbone.model.state_dict().items() if value is not None}


def test_the_stem_gives_the_same_tokens_and_holds_nothing_else(
    whole: Backbone, tmp_path: Path
) -> None:
    half = load_stem(tmp_path, save_stem(whole, CUT, tmp_path))
    pixels = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Stem(half, CUT)(pixels), Stem(whole, CUT)(pixels))
    assert half.preprocessing == whole.preprocessing
    Stem(half, CUT).to("cpu")  # nothing is left on the meta device, which cannot be moved
    assert not any(
        name.startswith(
            ("transformer", "token_embedding", "visual.proj", "visual.transformer.resblocks.2")
        )
        for name in weights(half)
    )


def test_the_two_halves_are_the_whole(whole: Backbone, tmp_path: Path) -> None:
    stem, rest = (
        weights(load_stem(tmp_path, save_stem(whole, CUT, tmp_path))),
        weights(load_frozen(tmp_path)),
    )
    assert not set(stem) & set(rest)
    assert set(stem) | set(rest) == set(weights(whole))
    assert all(torch.equal({**stem, **rest}[name], value) for name, value in weights(whole).items())


def test_other_weights_are_not_taken_for_the_stem(whole: Backbone, tmp_path: Path) -> None:
    digest = save_stem(whole, CUT, tmp_path)
    save_stem(load_backbone("demo", "random:1"), CUT, tmp_path)
    with pytest.raises(
        StructAlignError, match=f"{STEM_FILE} does not hold the weights that were written"
    ):
        load_stem(tmp_path, digest)
    (tmp_path / STEM_FILE).unlink()
    with pytest.raises(StructAlignError, match="missing or damaged"):
        load_stem(tmp_path, digest)

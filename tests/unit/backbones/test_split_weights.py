"""A backbone's split weights travel as files.

Each gives what the whole gives, alone, and a changed weight is noticed.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from structalign.backbones.backbone import Backbone, load_backbone
from structalign.backbones.saved_names import STEM_FILE
from structalign.backbones.split_weights import load_frozen, save_frozen
from structalign.backbones.stem import load_stem, save_stem
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

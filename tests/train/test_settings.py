"""Settings come in layers, are checked, and every YAML file resolves."""

import pytest

from cache import StructAlignError
from train.settings import CONFIGS, recipes, resolve

DATASETS = sorted(file.stem for file in (CONFIGS / "datasets").glob("*.yaml"))


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", recipes())
def test_every_config_resolves(dataset: str, method: str) -> None:
    recipe = resolve(dataset, method, {})
    assert recipe.name == method and recipe.settings.epochs > 0


def test_layers() -> None:
    base = resolve("demo", "structalign", {}).settings
    assert base.teacher == "previous" and base.rank == 16
    variant = resolve("demo", "structalign-pretrained", {}).settings
    assert variant.teacher == "pretrained" and variant.lr_text == base.lr_text
    assert resolve("demo", "finetune", {}).settings.lr_text != base.lr_text
    joint = resolve("demo", "joint", {})
    assert joint.algorithm == "joint" and joint.settings == resolve("demo", "finetune", {}).settings
    changed = resolve("demo", "structalign", {"lr_text": "5e-4", "epochs": "3", "adapted_blocks": "1", "frame_fusion": "false", "lr_first": "null"})
    s = changed.settings
    assert (s.lr_text, s.epochs, s.adapted_blocks, s.frame_fusion, s.lr_first) == (5e-4, 3, 1, False, None)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epoch", "3", "did you mean 'epochs'"),
        ("epochs", "2.5", "is not a number"),
        ("epochs", "0", "must be above 0"),
        ("frame_fusion", "3", "is not true or false"),
        ("teacher", "me", "choose one of"),
        ("dropout", "1.0", "fractions"),
        ("heldout", "1.0", "above 0 and below 1"),
        ("heldout", "0.25", "nothing uses"),
    ],
)
def test_refused(key: str, value: str, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        resolve("demo", "structalign", {key: value})
    with pytest.raises(StructAlignError, match="unknown method 'structalgn'; did you mean 'structalign'"):
        resolve("demo", "structalgn", {})


def test_a_variant_carries_its_changes_in_its_name() -> None:
    variant = resolve("demo", "structalign:teacher=pretrained:epochs=3", {"epochs": "4"})
    assert variant.name == "structalign:teacher=pretrained:epochs=3" and variant.algorithm == "structalign"
    assert (variant.settings.teacher, variant.settings.epochs) == ("pretrained", 4)
    with pytest.raises(StructAlignError, match="'teacher' is not KEY=VALUE"):
        resolve("demo", "structalign:teacher", {})
    with pytest.raises(StructAlignError, match="did you mean 'teacher'"):
        resolve("demo", "structalign:teachr=pretrained", {})


def test_a_held_out_share_is_kept_only_when_it_is_used() -> None:
    assert resolve("demo", "structalign", {}).settings.heldout_share == 0
    assert resolve("demo", "structalign", {"selection": "heldout"}).settings.heldout_share == 0.125
    assert resolve("demo", "structalign", {"measured_on": "heldout", "heldout": "0.25"}).settings.heldout_share == 0.25

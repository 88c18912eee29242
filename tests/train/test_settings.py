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
        ("heldout", "1.0", "fractions"),
    ],
)
def test_refused(key: str, value: str, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        resolve("demo", "structalign", {key: value})
    with pytest.raises(StructAlignError, match="unknown method 'structalgn'; did you mean 'structalign'"):
        resolve("demo", "structalgn", {})

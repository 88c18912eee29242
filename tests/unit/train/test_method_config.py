"""Settings come in layers, are checked, and every YAML file resolves."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from structalign.cache import StructAlignError
from structalign.core.configs import CONFIGS
from structalign.train.method_config import TrainSettings, setting_names
from structalign.train.methods.registry import load_method, method_class, method_names
from structalign.train.runs.create import unknown_rates

DATASETS = sorted(file.stem for file in (CONFIGS / "datasets").glob("*.yaml"))


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", method_names())
def test_every_config_resolves(dataset: str, method: str) -> None:
    recipe = load_method(method, dataset, "demo")
    assert recipe.name == method and recipe.settings.epochs > 0


def test_layers() -> None:
    base = load_method("structalign", "demo", "demo")
    assert base.options.teacher == "previous" and base.options.rank == 16
    variant = load_method("structalign-pretrained", "demo", "demo")
    assert variant.options.teacher == "pretrained"
    assert variant.settings.lr_text == base.settings.lr_text == 2e-3
    finetune = load_method("finetune", "demo", "demo")
    assert finetune.settings.lr_text == 6e-4
    joint = load_method("joint", "demo", "demo")
    assert joint.source == "finetune" and joint.settings.stream == "joint"
    assert replace(joint.settings, stream="tasks") == finetune.settings
    changes = {"lr_text": 5e-4, "epochs": 3, "adapted_blocks": 1, "frame_fusion": False}
    changed = load_method("structalign", "demo", "demo", {**changes, "lr_first": None})
    s, o = changed.settings, changed.options
    assert (s.lr_text, s.epochs, s.lr_first) == (5e-4, 3, None)
    assert (o.adapted_blocks, o.frame_fusion) == (1, False)


def test_learning_rates_belong_to_the_backbone_as_much_as_to_the_data() -> None:
    """On own videos the demo backbone was taught with ViT-B/32's rates: it learnt nothing."""
    own, demo = (load_method("structalign", name, "demo") for name in ("manifest", "demo"))
    assert own.settings == demo.settings
    large = load_method("structalign", "manifest", "ViT-B-32-quickgelu").settings
    assert (large.lr_text, large.epochs) == (3e-6, 20)
    assert unknown_rates("manifest", "ViT-L-14", {}) and not unknown_rates("manifest", "demo", {})
    assert not unknown_rates("msrvtt", "ViT-B-32-quickgelu", {})
    assert not unknown_rates("manifest", "ViT-L-14", {"lr_text": 1e-6})


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*s/*.yaml")), ids=lambda file: file.stem)
def test_every_key_of_a_config_is_some_methods_setting(file: Path) -> None:
    """Keys of datasets and backbones that a method does not have are skipped, so check them."""
    body = yaml.safe_load(file.read_text())
    known = {"base", "extract", "train", "datasets", "backbones"}
    assert set(body) <= known
    own = [file.stem] if file.parent.name == "methods" and "base" not in body else []
    options = [method_class(source).Options for source in ("structalign", "framefusionmoe")]
    options += [method_class(source).Options for source in own]
    assert set(body.get("train") or {}) <= set(setting_names(TrainSettings, *options))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epoch", "3", "did you mean 'epochs'"),
        ("epochs", "2.5", "is not a number"),
        ("epochs", float("inf"), "is not a number"),
        ("epochs", "9" * 5000, "is not a number"),
        ("weight_decay", float("nan"), "is not a number"),
        pytest.param("weight_decay", 10**400, "is not a number", id="huge"),
        ("schedule", ["half_cosine"], "choose one of"),
        ("epochs", "0", "must be above 0"),
        ("frame_fusion", "3", "is not true or false"),
        ("teacher", "me", "choose one of"),
        ("dropout", "1.0", "at least 0 and below 1"),
        ("heldout", "1.0", "above 0 and below 1"),
        ("heldout", "0.25", "nothing uses"),
    ],
)
def test_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        load_method("structalign", "demo", "demo", {key: value})
    with pytest.raises(
        StructAlignError, match="unknown method 'structalgn'; did you mean 'structalign'"
    ):
        load_method("structalgn", "demo", "demo")


def test_a_variant_carries_its_changes_in_its_name() -> None:
    variant = load_method(
        "structalign:teacher=pretrained:epochs=3", "demo", "demo", {"epochs": "4"}
    )
    assert (
        variant.name == "structalign:teacher=pretrained:epochs=3"
        and variant.source == "structalign"
    )
    assert (variant.options.teacher, variant.settings.epochs) == ("pretrained", 4)
    with pytest.raises(StructAlignError, match="'teacher' is not KEY=VALUE"):
        load_method("structalign:teacher", "demo", "demo")
    with pytest.raises(StructAlignError, match="did you mean 'teacher'"):
        load_method("structalign:teachr=pretrained", "demo", "demo")


def test_a_held_out_share_is_kept_only_when_it_is_used() -> None:
    assert load_method("structalign", "demo", "demo").settings.heldout_share == 0
    assert (
        load_method("structalign", "demo", "demo", {"selection": "heldout"}).settings.heldout_share
        == 0.125
    )
    assert (
        load_method(
            "structalign", "demo", "demo", {"eval_split": "heldout", "heldout": "0.25"}
        ).settings.heldout_share
        == 0.25
    )


def test_changes_behind_a_methods_name_that_are_no_yaml() -> None:
    with pytest.raises(StructAlignError, match=r"'structalign:teacher=\[': .* is not YAML"):
        load_method("structalign:teacher=[", "demo", "demo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: finetne\n", "did you mean 'finetune'"),
        ("bases: finetune\n", "did you mean 'base'"),
        ("train: [epochs]\n", "train: .* stands where 'key: value' belongs"),
        ("datasets: {demo: 3}\n", "datasets: demo: '3' stands where"),
        ("- 1\n", "stands where 'key: value' belongs"),
        ("train: {epochs: 1, epochs: 2}\n", "'epochs' stands twice"),
        ("train: {epochs: 0}\n", "epochs=0 must be above 0"),
        ("train:\n\tepochs: 1\n", r"mine\.yaml is not YAML: .*line 2"),
    ],
)
def test_the_yaml_of_ones_own_method(tmp_path: Path, text: str, message: str) -> None:
    """A base that does not exist was ignored; the rest were tracebacks."""
    (tmp_path / "mine.py").write_text(
        "from structalign.train.methods.base import Method\n\n\nclass Mine(Method):\n    pass\n"
    )
    (tmp_path / "mine.yaml").write_text("base: finetune\ntrain:\ndatasets: {demo: }\n")
    own = str(tmp_path / "mine.py")
    assert load_method(own, "demo", "demo").settings.lr_text == 6e-4
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(StructAlignError, match=message):
        load_method(own, "demo", "demo")

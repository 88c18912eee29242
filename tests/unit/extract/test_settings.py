"""The user's options over the dataset's defaults."""

import re
from pathlib import Path
from typing import Any

import pytest
from structalign.core.errors import StructAlignError
from structalign.extract.datasets.dataset import Inputs
from structalign.extract.datasets.demo import Demo
from structalign.extract.datasets.manifest import Manifest
from structalign.extract.datasets.registry import dataset_names
from structalign.extract.settings import (
    ExtractOptions,
    ExtractSettings,
    parse_options,
    resolve_settings,
)


def chosen(**options: Any) -> ExtractSettings:
    return resolve_settings(ExtractOptions("msrvtt", **options))


def test_nothing_given() -> None:
    settings = chosen()
    assert (settings.backbone, settings.pretrained, settings.cut, settings.adapted_blocks) == (
        "ViT-B-32-quickgelu",
        "openai",
        None,
        10,
    )
    assert (
        settings.frames,
        settings.augmentation.views,
        settings.augmentation.scale,
        settings.augmentation.flip,
    ) == (12, 4, 0.5, True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cut": 0}, ("ViT-B-32-quickgelu", "openai", 0, None)),
        ({"adapted_blocks": 2}, ("ViT-B-32-quickgelu", "openai", None, 2)),
        ({"pretrained": "random:1"}, ("ViT-B-32-quickgelu", "random:1", None, 10)),
        ({"backbone": "ViT-L-14"}, ("ViT-L-14", "openai", None, None)),
        ({"backbone": "demo"}, ("demo", "demo", 4, None)),
        ({"backbone": "ViT-L-14", "cut": 3}, ("ViT-L-14", "openai", 3, None)),
        (
            {"backbone": "ViT-B-32-quickgelu", "pretrained": "w.pt"},
            ("ViT-B-32-quickgelu", "w.pt", None, 10),
        ),
    ],
)
def test_weights_and_cut_belong_to_their_backbone(
    options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    settings = chosen(**options)
    assert (
        settings.backbone,
        settings.pretrained,
        settings.cut,
        settings.adapted_blocks,
    ) == expected


def test_frames_are_sampled_by_time_in_ones_own_videos_alone(tmp_path: Path) -> None:
    """Benchmarks are sampled by number, as published: their fingerprints stay those of 0.3."""
    own = str(tmp_path / "mine.py")
    found = {
        name: resolve_settings(ExtractOptions(name)).sampling for name in (*dataset_names(), own)
    }
    assert found == {
        "msrvtt": "number", "actnet": "number", "demo": "number", "manifest": "time", own: "time",
    }  # fmt: skip
    assert chosen(sampling="time").sampling == "time"


def test_options_of_the_dataset_and_of_every_dataset_are_parted() -> None:
    options, reader = parse_options({"dataset": "manifest", "name": "films", "frames": 3})
    assert (options, reader) == (ExtractOptions("manifest", frames=3), Manifest("films"))


@pytest.mark.parametrize(
    ("given", "dataset"),
    [({}, "demo"), ({"root": "films"}, "manifest"), ({"splits": "lists"}, "manifest"),
     ({"root": None}, "demo"), ({"root": "films", "dataset": "msrvtt"}, "msrvtt")],
)  # fmt: skip
def test_a_root_without_a_dataset_is_of_ones_own_videos(
    given: dict[str, Any], dataset: str
) -> None:
    """It made the demo world, which then was the newest cache."""
    assert parse_options(given)[0].dataset == dataset


def test_the_demo_takes_no_root(tmp_path: Path) -> None:
    with pytest.raises(StructAlignError, match="the demo makes its own videos and takes no --root"):
        Demo().read(Inputs(tmp_path, root=tmp_path))
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dataset": "dmo"}, "unknown dataset 'dmo'; did you mean 'demo'?"),
        ({"name": "a"}, "--name is an option of dataset manifest, not of demo"),
        ({"dataset": "msrvtt", "conflict": 1}, "--conflict is an option of dataset demo, not of "),
        ({"framess": 3}, "unknown option 'framess'; did you mean 'frames'?"),
        ({"seed": -1}, "--seed=-1 must be at least 0"),
        ({"frames": "many"}, "--frames='many' is not a number"),
        ({"frames": 5000}, "--frames=5000 must be at least 1 and at most 4096"),
        ({"engine": "steam"}, "--engine='steam': choose one of auto, ray, inline"),
        ({"dataset": "manifest", "name": 5}, "--name=5 is not text"),
    ],
)
def test_options_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StructAlignError, match=re.escape(message)):
        parse_options(given)


def test_defaults_of_ones_own_dataset(tmp_path: Path) -> None:
    """Its YAML stands over the manifest's; another backbone brings its weights and cut."""
    file = tmp_path / "mine.py"
    plain = resolve_settings(ExtractOptions(str(file)))
    assert plain == resolve_settings(ExtractOptions("manifest"))
    (tmp_path / "mine.yaml").write_text("extract: {backbone: demo, frames: 5}\n")
    settings = resolve_settings(ExtractOptions(str(file)))
    assert (settings.pretrained, settings.cut, settings.frames) == ("demo", 4, 5)
    (tmp_path / "mine.yaml").write_text("extract: {framess: 5}\n")
    with pytest.raises(StructAlignError, match="'framess'; did you mean 'frames'"):
        resolve_settings(ExtractOptions(str(file)))
    for text, message in (
        ("frames: many", "frames='many' is not a number"),
        ("frames: 5000", "frames=5000 must be at least 1 and at most 4096"),
        ("view_flip: 1", "view_flip=1 is not true or false"),
        ("sampling: luck", "sampling='luck': choose one of number, time"),
        ("backbone: [demo]", "is not text"),
        ("5", "mine.yaml: extract: '5' stands where"),
    ):
        (tmp_path / "mine.yaml").write_text(f"extract: {{{text}}}\n".replace("{5}", "5"))
        with pytest.raises(StructAlignError, match=message):
            resolve_settings(ExtractOptions(str(file)))
    (tmp_path / "mine.yaml").write_text("train: {epochs: 5}\n")
    with pytest.raises(StructAlignError, match="has the part 'extract' alone"):
        resolve_settings(ExtractOptions(str(file)))

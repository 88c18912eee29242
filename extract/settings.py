"""What an extraction is asked to do: the user's options over the dataset's and the backbone's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ..cache.spec import Augmentation
from ..core.configs import read_config
from ..core.errors import StructAlignError, unknown
from .datasets.dataset import DatasetReader
from .datasets.registry import dataset_class, datasets_with, extract_defaults


@dataclass(frozen=True)
class ExtractOptions:
    """What a user may choose for every dataset; None is the dataset's or the backbone's default.

    Args:
        dataset: a dataset's name, or your own .py file.
        root: the folder with the videos (and the annotation files).
        allow_overlap: allow a part of a video in both train and test.
        splits: a second folder to look for annotation files in; a manifest that does not lie with
            its videos, or its folder.
        seed: seed of the demo world and of the training views.
        frames: frames a clip.
        views: views of a training clip, the test view included.
        cut: vision blocks in the stem; wins over adapted_blocks.
        adapted_blocks: vision blocks after the cut.
        backbone: the name of an open_clip ViT, or demo.
        pretrained: an open_clip tag, a weights file, or random:SEED.
        device: where to compute.
        workers: Ray workers; one a core by default.
        ray_address: join this Ray cluster instead of starting one.
        engine: Ray, this process alone, or (auto) this process as long as that is faster; with
            ``workers`` or a Ray address, auto is Ray.
        limit: at most so many clips, dealt over categories and splits.
        max_bad: share of bad clips above which nothing is published.
        retry_bad: try quarantined clips again.
        decode_timeout: seconds one clip may take to decode.
        cache_root: by default STRUCTALIGN_CACHE, else ~/.cache/structalign.
    """

    dataset: str = "demo"
    root: str | Path | None = None
    allow_overlap: bool = False
    splits: str | Path | None = None
    seed: int = 0
    frames: int | None = None
    views: int | None = None
    cut: int | None = None
    adapted_blocks: int | None = None
    backbone: str | None = None
    pretrained: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    ray_address: str | None = None
    engine: Literal["auto", "ray", "inline"] = "auto"
    limit: int | None = None
    max_bad: float = 0.01
    retry_bad: bool = False
    decode_timeout: float = 60.0
    cache_root: str | Path | None = None

    @property
    def is_for_ray(self) -> bool:
        """Whether workers or a cluster are named."""
        return bool(self.workers or self.ray_address or os.environ.get("RAY_ADDRESS"))


@dataclass(frozen=True)
class ExtractSettings:
    """What determines the tokens beside the dataset, resolved from options and configs."""

    backbone: str
    pretrained: str
    cut: int | None
    adapted_blocks: int | None
    frames: int
    augmentation: Augmentation


def parse_options(given: Mapping[str, Any]) -> tuple[ExtractOptions, DatasetReader]:
    """Part options by name into those of every dataset and those of the one that is chosen.

    Raises:
        StructAlignError: an unknown dataset, an option that it does not have, or a bad value.
    """
    common = {field.name for field in fields(ExtractOptions)}
    options = ExtractOptions(**{name: given[name] for name in given if name in common})
    kind = dataset_class(options.dataset)
    known = {field.name for field in fields(kind)}
    for name in given:
        if name not in common | known:
            if not (owners := datasets_with(name)):
                raise unknown("option", name, common | known)
            raise StructAlignError(
                f"--{name} is an option of dataset {' and '.join(owners)}, not of {options.dataset}"
            )
    return options, kind(**{name: given[name] for name in given if name in known})


def resolve_settings(options: ExtractOptions) -> ExtractSettings:
    """The options, where given, over the ``extract`` part of the configs.

    A dataset of the user's own takes the manifest's defaults where its YAML gives none. Another
    backbone brings its own weights and cut; a given cut or number of adapted blocks replaces both
    defaults.

    Raises:
        StructAlignError: the YAML of the user's own dataset has an unknown value.
    """
    defaults = extract_defaults("manifest")
    given = extract_defaults(options.dataset)
    known = {"cut", "adapted_blocks", *defaults}
    for name in given:
        if name not in known:
            raise unknown("setting of extraction", name, known)
    defaults = {**_with_backbone(defaults, given.get("backbone")), **given}
    defaults = _with_backbone(defaults, options.backbone)
    if options.cut is not None or options.adapted_blocks is not None:
        defaults |= {"cut": options.cut, "adapted_blocks": options.adapted_blocks}
    views, scale, flip = (defaults[name] for name in ("views", "view_scale", "view_flip"))
    return ExtractSettings(
        backbone=defaults["backbone"],
        pretrained=options.pretrained or defaults["pretrained"],
        cut=defaults.get("cut"),
        adapted_blocks=defaults.get("adapted_blocks"),
        frames=options.frames or defaults["frames"],
        augmentation=Augmentation(options.views or views, options.seed, scale, flip),
    )


def _with_backbone(defaults: dict[str, Any], backbone: str | None) -> dict[str, Any]:
    """Defaults for a backbone; another one than theirs brings its own weights and cut."""
    if backbone in (None, defaults["backbone"]):
        return defaults
    changed = {"backbone": backbone, "pretrained": "openai", "cut": None, "adapted_blocks": None}
    return {**defaults, **changed, **(read_config("backbones", str(backbone)).get("extract") or {})}

"""Settings of an extraction: the user's options over the dataset's and the backbone's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ..cache.spec import BOUNDS, Augmentation
from ..core.configs import read_config
from ..core.defaults import DECODE_TIMEOUT, DEVICE, SEED
from ..core.errors import StructAlignError, unknown
from ..core.ranges import check_fields, check_range, convert, option
from .datasets.dataset import DatasetReader
from .datasets.registry import dataset_class, datasets_with, extract_defaults

Sampling = Literal["number", "time"]
TYPES: dict[str, Any] = {
    "backbone": str, "pretrained": str, "cut": int | None, "adapted_blocks": int | None,
    "frames": int, "sampling": Sampling, "views": int, "view_scale": float, "view_flip": bool,
}  # fmt: skip
"""Types of the ``extract`` part of a dataset's YAML."""


@dataclass(frozen=True)
class ExtractOptions:
    """What a user may choose for every dataset; None is the dataset's or the backbone's default.

    The command line takes its options, their help texts and ranges from these fields. The plain
    ones are options of several commands: ``device`` (auto, cpu or cuda), ``ray_address`` (a
    cluster to join) and ``cache_root`` (by default STRUCTALIGN_CACHE, else ~/.cache/structalign).

    Raises:
        StructAlignError: a value outside its range.
    """

    dataset: str = option(
        "demo", "The dataset's name, or your own .py file; with --root alone, manifest."
    )
    root: str | Path | None = option(  # noqa: RUF009
        None, "Folder with the videos, and with a benchmark's annotation files."
    )
    allow_overlap: bool = option(False, "Allow a part of a video in both train and test.")
    splits: str | Path | None = option(  # noqa: RUF009
        None,
        "Second folder with annotation files; or a manifest, or its folder, that does not lie "
        "with its videos.",
    )
    seed: int = option(SEED, "Seed of the demo world and of the training views.", at_least=0)
    frames: int | None = option(None, "Frames per clip.", at_least=1, at_most=BOUNDS["frames"][1])
    sampling: Sampling | None = option(  # noqa: RUF009
        None,
        "Frames evenly in time, or by number, as benchmarks do.  [default: time for videos of "
        "your own, number for the others]",
    )
    views: int | None = option(
        None, "Views of each training clip, the test view included.",
        at_least=1, at_most=BOUNDS["views"][1],
    )  # fmt: skip
    cut: int | Literal["all"] | None = option(
        None,
        "Number of frozen vision blocks, which run once per clip; a number overrides "
        "--adapted-blocks. With all, a frame is its embedding.",
    )
    grid: Literal["none", "2", "3"] | None = option(
        None, "With --cut all: embed the cells of a grid over each frame, too.  [default: 2]"
    )
    adapted_blocks: int | None = option(None, "Number of vision blocks after the cut.", at_least=1)
    backbone: str | None = option(None, "Name of an open_clip model, or demo.")
    pretrained: str | None = option(
        None, "An open_clip tag, a file of weights, TAG=FILE, or random:SEED."
    )
    tokenizer: str | Path | None = option(  # noqa: RUF009
        None,
        "The backbone's tokenizer.json, or gzipped merges.  [default: CLIP's, or from the hub]",
    )
    device: str = DEVICE
    workers: int | None = option(
        None, "Number of Ray workers.  [default: one per core]", at_least=1
    )
    ray_address: str | None = None
    engine: Literal["auto", "ray", "inline"] = option(
        "auto",
        "Ray, this process alone (inline), or auto: inline where that is faster, Ray if "
        "--workers or --ray-address is given.",
    )
    limit: int | None = option(
        None, "At most this many clips, spread over categories and splits.", at_least=1
    )
    max_bad: float = option(
        0.01, "Share of bad clips above which nothing is published.", at_least=0, at_most=1
    )
    retry_bad: bool = option(False, "Try quarantined clips again.")
    decode_timeout: float = option(
        DECODE_TIMEOUT, "Seconds that decoding one clip may take.", above=0
    )
    cache_root: str | Path | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def is_for_ray(self) -> bool:
        """Whether the user gave a number of workers or a cluster."""
        return bool(self.workers or self.ray_address or os.environ.get("RAY_ADDRESS"))


@dataclass(frozen=True)
class ExtractSettings:
    """What determines the tokens of a dataset, resolved from options and configs."""

    backbone: str
    pretrained: str
    tokenizer: Path | None
    cut: int | None
    grid: int | None
    adapted_blocks: int | None
    frames: int
    sampling: Sampling
    augmentation: Augmentation


def parse_options(given: Mapping[str, Any]) -> tuple[ExtractOptions, DatasetReader]:
    """Divide options into those that every dataset has and those of the chosen dataset.

    Raises StructAlignError: an unknown dataset, an option that it does not have, or a bad value.
    """
    if given.get("root") is not None or given.get("splits") is not None:
        given = {"dataset": "manifest", **given}  # the demo's videos lie under no root
    common = {field.name for field in fields(ExtractOptions)}
    options = ExtractOptions(**_converted(given, ExtractOptions))
    kind = dataset_class(options.dataset)
    known = {field.name for field in fields(kind)}
    for name in given:
        if name not in common | known:
            if not (owners := datasets_with(name)):
                raise unknown("option", name, common | known)
            raise StructAlignError(
                f"--{name} is an option of dataset {' and '.join(owners)}, not of {options.dataset}"
            )
    return options, kind(**_converted(given, kind))


def _converted(given: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """The values that are fields of a dataclass, as their types. Raises StructAlignError."""
    hints, names = get_type_hints(kind), [field.name for field in fields(kind)]
    return {
        name: convert(f"--{name.replace('_', '-')}", given[name], hints[name])
        for name in names
        if name in given
    }


def resolve_settings(options: ExtractOptions) -> ExtractSettings:
    """The options, where given, over the ``extract`` part of the configs.

    A dataset of the user's own takes the manifest's defaults where its YAML gives none. Another
    backbone brings its own weights and cut; a given cut or number of adapted blocks replaces both
    defaults. Raises StructAlignError: the YAML of the user's own dataset has an unknown name, or a
    value of the wrong kind or outside its range.
    """
    defaults = extract_defaults("manifest")
    given = extract_defaults(options.dataset)
    for name, value in given.items():
        if name not in TYPES:
            raise unknown("setting of extraction", name, TYPES)
        given[name] = convert(f"setting {name}", value, TYPES[name])
        if name in BOUNDS and value is not None:
            least, most = BOUNDS[name]
            check_range(f"setting {name}", given[name], at_least=least, at_most=most)
    defaults = {**_with_backbone(defaults, given.get("backbone")), **given}
    defaults = _with_backbone(defaults, options.backbone)
    cut = None if options.cut == "all" else options.cut
    if cut is not None or options.adapted_blocks is not None:
        defaults |= {"cut": cut, "adapted_blocks": options.adapted_blocks}
    if options.grid and options.cut != "all":
        raise StructAlignError(f"--grid {options.grid} belongs to --cut all")
    grid = 0 if options.grid == "none" else int(options.grid or 2)
    views, scale, flip = (defaults[name] for name in ("views", "view_scale", "view_flip"))
    return ExtractSettings(
        backbone=defaults["backbone"],
        pretrained=options.pretrained or defaults["pretrained"],
        tokenizer=_file(options.tokenizer),
        cut=defaults.get("cut"),
        grid=grid if options.cut == "all" else None,
        adapted_blocks=defaults.get("adapted_blocks"),
        frames=options.frames or defaults["frames"],
        sampling=options.sampling or defaults["sampling"],
        augmentation=Augmentation(options.views or views, options.seed, scale, flip),
    )


def _file(tokenizer: str | Path | None) -> Path | None:
    if tokenizer is None or (path := Path(tokenizer).expanduser()).is_file():
        return None if tokenizer is None else path.resolve()
    raise StructAlignError(f"--tokenizer {tokenizer}: there is no such file")


def _with_backbone(defaults: dict[str, Any], backbone: str | None) -> dict[str, Any]:
    """Defaults for a backbone; another one than theirs brings its own weights and cut."""
    if backbone in (None, defaults["backbone"]):
        return defaults
    changed = {"backbone": backbone, "pretrained": "openai", "cut": None, "adapted_blocks": None}
    return {**defaults, **changed, **(read_config("backbones", str(backbone)).get("extract") or {})}

"""What an extraction is asked to do: the user's options over the dataset's and the backbone's."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.configs import read_config


@dataclass(frozen=True)
class ExtractOptions:
    """What a user may choose; None takes the dataset's or the backbone's default.

    Args:
        dataset: one of demo, msrvtt, actnet and manifest.
        root: the folder with the videos (and the annotation files).
        name: what the cache of a manifest is called; by default as the manifest's folder.
        allow_overlap: let a video stand in train and in test of a manifest.
        splits: a second folder to look for annotation files in; a manifest that does not lie with
            its videos, or its folder.
        seed: seed of the demo world and of the training views.
        conflict: share of the demo world's shared words that change meaning every two categories.
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
    name: str | None = None
    allow_overlap: bool = False
    splits: str | Path | None = None
    seed: int = 0
    conflict: float = 0.0
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
class Augmentation:
    """Training views: crops with an area in [scale, 1], flipped half the time if ``flip``."""

    count: int
    seed: int
    scale: float
    flip: bool


@dataclass(frozen=True)
class ExtractSettings:
    """What determines the tokens beside the dataset, resolved from options and configs."""

    backbone: str
    pretrained: str
    cut: int | None
    adapted_blocks: int | None
    frames: int
    views: Augmentation


def resolve_settings(options: ExtractOptions) -> ExtractSettings:
    """The options, where given, over the ``extract`` part of the configs.

    Another backbone than the dataset's brings its own weights and cut; a cut or a number of
    adapted blocks that is given replaces both defaults.
    """
    defaults = dict(read_config("datasets", options.dataset).get("extract") or {})
    if options.backbone not in (None, defaults["backbone"]):
        own = read_config("backbones", str(options.backbone)).get("extract") or {}
        defaults |= {"pretrained": "openai", "cut": None, "adapted_blocks": None, **own}
    if options.cut is not None or options.adapted_blocks is not None:
        defaults |= {"cut": options.cut, "adapted_blocks": options.adapted_blocks}
    views = options.views or defaults["views"]
    return ExtractSettings(
        backbone=options.backbone or defaults["backbone"],
        pretrained=options.pretrained or defaults["pretrained"],
        cut=defaults.get("cut"),
        adapted_blocks=defaults.get("adapted_blocks"),
        frames=options.frames or defaults["frames"],
        views=Augmentation(views, options.seed, defaults["view_scale"], defaults["view_flip"]),
    )

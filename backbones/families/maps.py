"""Convolutions: OpenAI's ResNets, ConvNeXt, MobileCLIP's FastViT. They can only be frozen whole.

Their last map is read as patches.
"""

import re
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..family import Config, Stem, Tail, Weights, WholeFamily
from ..identity import Preprocessing
from .timm_vit import NAMES

if TYPE_CHECKING:
    import open_clip

KNOWN = re.compile(r"(convnext|fastvit)_.*")


class Maps(WholeFamily):
    """Towers of convolutions."""

    def is_of(self, config: Config) -> bool:
        """Whatever is no transformer."""
        vision = config["vision_cfg"]
        if name := vision.get("timm_model_name"):
            return not NAMES.fullmatch(name)
        return not isinstance(vision.get("layers"), int)

    def refusal(self, config: Config) -> str:
        """Of timm's, those whose head pools a map."""
        name = config["vision_cfg"].get("timm_model_name")
        return "" if not name or KNOWN.fullmatch(name) else f"its vision tower is {name}"

    def whole_only(self, config: Config) -> str:
        """Whichever it is."""
        name = config["vision_cfg"].get("timm_model_name", "a ResNet")
        return f"its vision tower is {name}, without blocks of tokens"

    def stem(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Weights
    ) -> "MapStem":
        """The tower up to its last map."""
        return MapStem(config, preprocessing, weights)

    def tail(self, model: "open_clip.CLIP | open_clip.CustomTextCLIP", cut: int) -> Tail:
        """What makes a feature of the last map."""
        visual = model.visual
        return AttentionMapTail(visual) if hasattr(visual, "attnpool") else MapTail(visual)


FAMILY = Maps()


class MapStem(Stem):
    """Convolutions, to the last map as patches."""

    def __init__(self, config: Config, preprocessing: Preprocessing, weights: Weights) -> None:
        super().__init__(preprocessing, 0)
        from open_clip.model import _build_vision_tower

        vision = {**config["vision_cfg"], "timm_drop_path": None}
        with torch.device("meta"):
            visual = _build_vision_tower(config["embed_dim"], vision, False)
        if hasattr(visual, "attnpool"):
            visual.attnpool = nn.Identity()
        else:
            visual.trunk.head = visual.head = nn.Identity()
        self.visual = visual
        self.take({f"visual.{name}": value for name, value in weights.items()})

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Preprocessed frames [B, 3, S, S] to patches [B, height * width, C]."""
        visual = cast(Any, self.visual)
        trunk = getattr(visual, "trunk", None)
        last = visual(pixels) if trunk is None else trunk.forward_features(pixels)
        return last.flatten(2).transpose(1, 2)


class MapTail(Tail):
    """The head of timm's towers: the mean of a map, and projections."""

    def __init__(self, visual: "open_clip.timm_model.TimmModel") -> None:
        super().__init__()
        self.head = nn.Sequential(cast(Any, visual.trunk).head, visual.head)

    def pool(self, x: Tensor) -> Tensor:
        """The mean of all patches."""
        return self.pool_patches(x)

    def pool_patches(self, patches: Tensor) -> Tensor:
        """The mean of some patches, taken as a map one patch wide."""
        return self.head(patches.transpose(1, 2)[..., None])


class AttentionMapTail(Tail):
    """The head of OpenAI's ResNets: attention of the map's mean over the map."""

    def __init__(self, visual: "open_clip.modified_resnet.ModifiedResNet") -> None:
        super().__init__()
        self.attnpool = visual.attnpool

    def pool(self, x: Tensor) -> Tensor:
        """Attention over the whole map."""
        side = round(x.shape[1] ** 0.5)
        return self.attnpool(x.transpose(1, 2).unflatten(2, (side, side)))

    def pool_patches(self, patches: Tensor) -> Tensor:
        """The mean of what attention would take from some patches."""
        pool, mean = cast(Any, self.attnpool), patches.mean(1)
        values = F.linear(mean, pool.v_proj.weight, pool.v_proj.bias)
        return F.linear(values, pool.c_proj.weight, pool.c_proj.bias)

"""The stem: a CLIP vision tower before the cut, from frames to the tokens that are cached.

Built from torch alone, so that a worker does not import open_clip and what that imports (about as
long as torch itself); the modules and so the bytes are open_clip's.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..core.errors import StructAlignError
from ..core.tensors import halve_where_exact, load_tensors, save_tensors
from .identity import Preprocessing
from .saved_names import BACKBONE_FILE, STEM_FILE
from .weight_hashes import hash_weights

HEAD_WIDTH, MLP_RATIO = 64, 4.0  # open_clip's, where a configuration does not say
KNOWN = {
    "image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "ls_init_value",
}  # fmt: skip


class Stem(nn.Module):
    """The frozen part before the cut: embedding and blocks 0 .. cut-1.

    Args:
        config: open_clip's configuration of the whole model.
        preprocessing: what the frames that it gets have been through.
        cut: the number of blocks.
        weights: by open_clip's names below ``visual.``; what comes after the cut is left out.
    """

    def __init__(
        self,
        config: dict[str, Any],
        preprocessing: Preprocessing,
        cut: int,
        weights: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        vision = config["vision_cfg"]
        width, patch = vision["width"], vision["patch_size"]
        self.preprocessing, self.cut = preprocessing, cut
        with torch.device("meta"):
            self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
            self.class_embedding = nn.Parameter(torch.empty(width))
            places = (vision["image_size"] // patch) ** 2 + 1
            self.positional_embedding = nn.Parameter(torch.empty(places, width))
            self.ln_pre = nn.LayerNorm(width)
            quick = bool(config.get("quick_gelu"))
            blocks = nn.ModuleList(StemBlock(vision, quick) for _ in range(cut))
            self.transformer = nn.ModuleDict({"resblocks": blocks})
        wanted = self.state_dict().keys()
        missing = sorted(wanted - weights.keys())
        if missing:
            raise StructAlignError(f"the weights of the stem lack '{missing[0]}'")
        self.load_state_dict({name: weights[name] for name in wanted}, assign=True)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Preprocessed frames [B, 3, S, S] to tokens [B, 1 + patches, width], class token first."""
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1)
        x = self.ln_pre(x + self.positional_embedding)
        for block in cast(nn.ModuleList, self.transformer["resblocks"]):
            x = block(x)
        return x


class StemBlock(nn.Module):
    """CLIP's residual attention block."""

    def __init__(self, vision: dict[str, Any], quick: bool) -> None:
        super().__init__()
        width = vision["width"]
        heads = width // vision.get("head_width", HEAD_WIDTH)
        hidden = int(width * vision.get("mlp_ratio", MLP_RATIO))
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, hidden),
                gelu=QuickGELU() if quick else nn.GELU(),
                c_proj=nn.Linear(hidden, width),
            )
        )
        is_scaled = vision.get("ls_init_value") is not None
        self.ls_1, self.ls_2 = (Scale(width) if is_scaled else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, P, C] to tokens [B, P, C]."""
        y = self.ln_1(x)
        x = x + self.ls_1(self.attn(y, y, y, need_weights=False)[0])
        return torch.as_tensor(x + self.ls_2(self.mlp(self.ln_2(x))))


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that OpenAI's CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * torch.sigmoid(1.702 * x)


class Scale(nn.Module):
    """A learnt factor for every channel (LayerScale)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that ends with the channels."""
        return x * self.gamma


def save_stem(stem: Stem, folder: Path) -> str:
    """Write a stem's weights beside its backbone's description; returns their hash."""
    state = stem.state_dict()
    save_tensors(folder / STEM_FILE, halve_where_exact(state))
    return hash_weights(state)


def load_stem(folder: Path, weights: str) -> Stem:
    """A stem as ``save_stem`` wrote it.

    Raises:
        StructAlignError: it is missing, or its hash is not ``weights``.
    """
    state = {name: value.float() for name, value in load_tensors(folder / STEM_FILE).items()}
    if hash_weights(state) != weights:
        raise StructAlignError(
            f"{folder / STEM_FILE} does not hold the weights that were written; run extract again"
        )
    body = json.loads((folder / BACKBONE_FILE).read_text())
    preprocessing = Preprocessing.from_json(body["preprocessing"])
    return Stem(body["config"], preprocessing, body["cut"], state)

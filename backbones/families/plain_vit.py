"""The plain ViT of CLIP: class token, pre-LN blocks, causal text tower. The demo backbone is one.

The stem is built from torch alone; its modules, and so its bytes, are open_clip's.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ...core.errors import StructAlignError
from ..family import Config, Family, Stem, Tail
from ..identity import Preprocessing

if TYPE_CHECKING:
    import open_clip

HEAD_WIDTH, MLP_RATIO = 64, 4.0  # open_clip's, where a configuration does not say
CONFIG = {"embed_dim", "quick_gelu", "text_cfg", "vision_cfg"}
VISION = {
    "image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "ls_init_value",
}  # fmt: skip
TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}


class PlainViT(Family):
    """CLIP's own architecture."""

    def refusal(self, config: Config) -> str:
        """Accepts only options that the stem and the towers of training know."""
        vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
        if text.keys() & {"hf_model_name", "hf_tokenizer_name"} or config.keys() - CONFIG:
            return "its text tower is not CLIP's"
        if vision.get("timm_model_name") or not isinstance(vision.get("layers"), int):
            return "its vision tower is not a ViT"
        for tower, others in (("vision", vision.keys() - VISION), ("text", text.keys() - TEXT)):
            if others:
                return f"its {tower} tower has '{min(others)}'"
        return ""

    def build(self, config: Config) -> "open_clip.CLIP":
        """A new model."""
        import open_clip

        return open_clip.CLIP(**config)

    def blocks(self, config: Config) -> int:
        """The configuration's layers."""
        return int(config["vision_cfg"]["layers"])

    def token_shape(self, config: Config) -> tuple[int, int]:
        """The class token and the patches."""
        vision = config["vision_cfg"]
        return 1 + (vision["image_size"] // vision["patch_size"]) ** 2, int(vision["width"])

    def stem(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Mapping[str, Tensor]
    ) -> "ViTStem":
        """Embedding and blocks 0 .. cut-1."""
        return ViTStem(config, preprocessing, cut, weights)

    def tail(self, model: "open_clip.CLIP", cut: int) -> "ViTTail":
        """Blocks cut .. L-1, pooled by the class token."""
        visual = model.visual
        return ViTTail(visual.transformer.resblocks[cut:], visual.ln_post, visual.proj)

    def is_in_stem(self, weight: str, cut: int) -> bool:
        """Vision weights but for later blocks, the last norm and the projection."""
        if block := re.match(r"visual\.transformer\.resblocks\.(\d+)\.", weight):
            return int(block[1]) < cut
        after = weight == "visual.proj" or weight.startswith("visual.ln_post.")
        return weight.startswith("visual.") and not after


FAMILY = PlainViT()


class ViTStem(Stem):
    """Patch and position embedding, the first norm, and some blocks."""

    def __init__(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Mapping[str, Tensor]
    ) -> None:
        super().__init__(preprocessing, cut)
        vision = config["vision_cfg"]
        width, patch = vision["width"], vision["patch_size"]
        with torch.device("meta"):
            self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
            self.class_embedding = nn.Parameter(torch.empty(width))
            positions = (vision["image_size"] // patch) ** 2 + 1
            self.positional_embedding = nn.Parameter(torch.empty(positions, width))
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


class ViTTail(Tail):
    """The rest of the blocks, and the class token's feature."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, 1 + patches, width] to features [B, D]."""
        for block in self.blocks:
            tokens = block(tokens)
        return torch.as_tensor(self.norm(tokens[:, 0]) @ self.projection)


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
        """Elementwise: any shape to the same shape."""
        return x * torch.sigmoid(1.702 * x)


class Scale(nn.Module):
    """A learnt factor for every channel (LayerScale)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to [..., width]."""
        return x * self.gamma

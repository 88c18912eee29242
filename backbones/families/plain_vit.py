"""open_clip's own ViT: class token, pre-LN blocks. CLIP's, CLIPA's and the demo backbone's.

The stem is built from torch alone; its modules, and so its bytes, are open_clip's.
"""

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ..attention import attend, query_key_value
from ..family import Config, Family, Stem, Tail, Weights
from ..identity import Preprocessing

if TYPE_CHECKING:
    import open_clip

HEAD_WIDTH, MLP_RATIO = 64, 4.0  # open_clip's, where a configuration does not say
OPTIONS = {
    "final_ln_after_pool", "head_width", "image_size", "layers", "ls_init_value", "mlp_ratio",
    "no_ln_pre", "patch_size", "pool_type", "width",
}  # fmt: skip


class PlainViT(Family):
    """open_clip's VisionTransformer."""

    def is_of(self, config: Config) -> bool:
        """Neither timm's nor a ResNet, whose layers are a list."""
        vision = config["vision_cfg"]
        return "timm_model_name" not in vision and isinstance(vision.get("layers"), int)

    def refusal(self, config: Config) -> str:
        """Accepts only options that the stem and the tail know."""
        vision = config["vision_cfg"]
        if others := vision.keys() - OPTIONS:
            return f"its vision tower has '{min(others)}'"
        pool = vision.get("pool_type", "tok")
        return "" if pool in {"tok", "avg"} else f"its vision tower is pooled by '{pool}'"

    def blocks(self, config: Config) -> int:
        """The configuration's layers."""
        return int(config["vision_cfg"]["layers"])

    def token_shape(self, config: Config) -> tuple[int, int]:
        """The class token and the patches."""
        vision = config["vision_cfg"]
        return 1 + (vision["image_size"] // vision["patch_size"]) ** 2, int(vision["width"])

    def stem(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Weights
    ) -> "ViTStem":
        """Embedding and blocks 0 .. cut-1."""
        return ViTStem(config, preprocessing, cut, weights)

    def tail(self, model: "open_clip.CLIP | open_clip.CustomTextCLIP", cut: int) -> "ViTTail":
        """Blocks cut .. L-1, and the head."""
        return ViTTail(model.visual, cut)

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
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Weights
    ) -> None:
        super().__init__(preprocessing, cut)
        vision = config["vision_cfg"]
        width, patch = vision["width"], vision["patch_size"]
        with torch.device("meta"):
            self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
            self.class_embedding = nn.Parameter(torch.empty(width))
            positions = (vision["image_size"] // patch) ** 2 + 1
            self.positional_embedding = nn.Parameter(torch.empty(positions, width))
            self.ln_pre = nn.Identity() if vision.get("no_ln_pre") else nn.LayerNorm(width)
            quick = bool(config.get("quick_gelu"))
            blocks = nn.ModuleList(StemBlock(vision, quick) for _ in range(cut))
            self.transformer = nn.ModuleDict({"resblocks": blocks})
        self.take(weights)

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
    """The rest of the blocks, and the head: the class token's feature, or the patches' mean."""

    projection: nn.Parameter

    def __init__(self, visual: "open_clip.transformer.VisionTransformer", cut: int) -> None:
        super().__init__()
        self.blocks = visual.transformer.resblocks[cut:]
        self.ln_post, self.projection = visual.ln_post, visual.proj
        self.heads, self.prefix = visual.transformer.resblocks[-1].attn.num_heads, 1
        self.queries = 1 if visual.pool_type == "tok" else None
        self.norm_comes_last = visual.final_ln_after_pool

    def attention_input(self, block: Any, x: Tensor) -> Tensor:
        """The first norm."""
        return block.ln_1(x)

    def attention(self, block: Any, y: Tensor, queries: int) -> Tensor:
        """Without what need not be computed where only the first tokens are needed."""
        q, k, v = query_key_value(block, y, queries)
        return block.attn.out_proj(attend(q, k, v, block.attn.num_heads))

    def add_attention(self, block: Any, x: Tensor, attention: Tensor) -> Tensor:
        """With the block's learnt factors, where it has them."""
        return x + block.ls_1(attention)

    def add_mlp(self, block: Any, x: Tensor) -> Tensor:
        """With the second norm."""
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    def pool(self, x: Tensor) -> Tensor:
        """The class token, or the mean of the patches."""
        if self.queries:
            return self.ln_post(x[:, 0]) @ self.projection
        if self.norm_comes_last:
            return self.ln_post(x[:, 1:].mean(1)) @ self.projection
        return self.ln_post(x)[:, 1:].mean(1) @ self.projection

    def pool_patches(self, patches: Tensor) -> Tensor:
        """Their mean, before or after the last norm."""
        if self.norm_comes_last:
            return self.ln_post(patches.mean(1)) @ self.projection
        return self.ln_post(patches).mean(1) @ self.projection


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

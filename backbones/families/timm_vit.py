"""timm's transformers: SigLIP, PE-Core, EVA, MobileCLIP's ViTs, ViTamin.

They differ in positions (absolute, rotary), norms and pooling (class token, mean, attention).
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ..buffers import fill_buffers
from ..family import Config, Family, Stem, Tail, Weights
from ..identity import Preprocessing

if TYPE_CHECKING:
    import open_clip

NAMES = re.compile(r"(vit|vitamin|eva|eva02|test_vit\d?)_.*|test_vit\d?")
AFTER = ("norm.", "fc_norm.", "attn_pool.", "head.")  # of a trunk, after its blocks


class TimmViT(Family):
    """timm's ``VisionTransformer`` and ``Eva``."""

    def is_of(self, config: Config) -> bool:
        """By the name that timm gives it."""
        return bool(NAMES.fullmatch(config["vision_cfg"].get("timm_model_name", "")))

    def refusal(self, config: Config) -> str:
        """Attention that takes more than tokens, and pooling on a map."""
        vision = config["vision_cfg"]
        if "relpos" in vision["timm_model_name"]:
            return "its vision tower's attention has relative positions"
        if (pool := vision.get("timm_pool", "avg")) not in {"", "avg", "map", "token"}:
            return f"its vision tower is pooled by '{pool}'"
        return ""

    def blocks(self, config: Config) -> int:
        """The trunk's own number."""
        return len(_outline(config["vision_cfg"]["timm_model_name"]).blocks)

    def token_shape(self, config: Config) -> tuple[int, int]:
        """Class token and registers, if it has them, and the patches."""
        trunk = _outline(config["vision_cfg"]["timm_model_name"])
        return trunk.num_prefix_tokens + trunk.patch_embed.num_patches, trunk.embed_dim

    def stem(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Weights
    ) -> "TimmStem":
        """Embedding, positions and blocks 0 .. cut-1."""
        return TimmStem(config, preprocessing, cut, weights)

    def tail(self, model: "open_clip.CLIP | open_clip.CustomTextCLIP", cut: int) -> "TimmTail":
        """Blocks cut .. L-1, norm, pooling and projection."""
        return TimmTail(model.visual, cut)

    def is_in_stem(self, weight: str, cut: int) -> bool:
        """Of the trunk what is neither a later block nor after the blocks."""
        name = weight.removeprefix("visual.trunk.")
        if block := re.match(r"blocks\.(\d+)\.", name):
            return int(block[1]) < cut
        return name != weight and not name.startswith(AFTER)


FAMILY = TimmViT()


@cache
def _outline(name: str) -> Any:
    """A trunk without weights."""
    import timm

    with torch.device("meta"):
        return timm.create_model(name)


class TimmStem(Stem):
    """A trunk without what comes after the cut."""

    def __init__(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Weights
    ) -> None:
        super().__init__(preprocessing, cut)
        import timm

        with torch.device("meta"):
            trunk: Any = timm.create_model(config["vision_cfg"]["timm_model_name"])
        del trunk.blocks[cut:]
        for name in AFTER:
            setattr(trunk, name.rstrip("."), nn.Identity())
        self.trunk = trunk
        fill_buffers(self.trunk)
        self.take(weights)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Preprocessed frames [B, 3, S, S] to tokens [B, prefix + patches, width]."""
        return cast(Any, self.trunk).forward_features(pixels)


class TimmTail(Tail):
    """The rest of a trunk, and open_clip's projection after it."""

    def __init__(self, visual: "open_clip.timm_model.TimmModel", cut: int) -> None:
        super().__init__()
        trunk: Any = visual.trunk
        self.blocks = nn.ModuleList(trunk.blocks[cut:])
        self.rope = getattr(trunk, "rope", None)
        self.norm, self.fc_norm, self.attn_pool = trunk.norm, trunk.fc_norm, trunk.attn_pool
        self.projection = nn.Sequential(trunk.head, visual.head)
        self.heads, self.prefix = trunk.blocks[-1].attn.num_heads, trunk.num_prefix_tokens
        self.queries = 1 if trunk.global_pool == "token" else None

    def block(self, block: Any, x: Tensor) -> Tensor:
        """With the patches' rotary positions, where the trunk has them."""
        return block(x) if self.rope is None else block(x, rope=self.rope.get_embed())

    def attention_input(self, block: Any, x: Tensor) -> Tensor:
        """The first norm, which in EVA-02 E comes after attention instead."""
        return x if _is_post_norm(block) else block.norm1(x)

    def attention(self, block: Any, y: Tensor, queries: int) -> Tensor:
        """The block's own attention, positions included."""
        rope = {} if self.rope is None else {"rope": self.rope.get_embed()}
        return block.attn(y, **rope)[:, :queries]

    def add_attention(self, block: Any, x: Tensor, attention: Tensor) -> Tensor:
        """With the block's learnt factors, where it has them."""
        added = block.norm1(attention) if _is_post_norm(block) else _scaled(block, 1, attention)
        return x + added

    def add_mlp(self, block: Any, x: Tensor) -> Tensor:
        """With the second norm, before or after the MLP."""
        if _is_post_norm(block):
            return x + block.norm2(block.mlp(x))
        return x + _scaled(block, 2, block.mlp(block.norm2(x)))

    def pool(self, x: Tensor) -> Tensor:
        """The class token, the mean of the patches, or attention over all tokens."""
        if self.queries:
            return self.projection(self.fc_norm(self.norm(x)[:, 0]))
        return self.pool_patches(x if self.attn_pool else x[:, self.prefix :])

    def pool_patches(self, patches: Tensor) -> Tensor:
        """Attention over them, or their mean."""
        x = self.norm(patches)
        x = self.attn_pool(x) if self.attn_pool else x.mean(1)
        return self.projection(self.fc_norm(x))


def _is_post_norm(block: nn.Module) -> bool:
    return type(block).__name__ == "EvaBlockPostNorm"


def _scaled(block: Any, number: int, x: Tensor) -> Tensor:
    """A branch of a block times its learnt factors: a module in timm's ViT, a tensor in its Eva."""
    if hasattr(block, f"ls{number}"):
        return getattr(block, f"ls{number}")(x)
    gamma = getattr(block, f"gamma_{number}")
    return x if gamma is None else gamma * x

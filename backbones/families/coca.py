"""CoCa: a plain ViT pooled by attention, beside a decoder that writes captions. Frozen whole."""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ..family import Config, Stem, Tail, Weights, WholeFamily
from ..identity import Preprocessing

if TYPE_CHECKING:
    import open_clip


class Coca(WholeFamily):
    """open_clip's CoCa with the tokenizer of CLIP."""

    def is_of(self, config: Config) -> bool:
        """By its decoder."""
        return "multimodal_cfg" in config

    def refusal(self, config: Config) -> str:
        """open_clip's one design without weights has neither attention pooling nor a tokenizer."""
        pools = config["vision_cfg"].get("attentional_pool")
        return "" if pools is True else "it is a CoCa without attention pooling"

    def whole_only(self, config: Config) -> str:
        """Whichever it is."""
        return "it is a CoCa, whose vision tower has a head of its own"

    def stem(
        self, config: Config, preprocessing: Preprocessing, cut: int, weights: Weights
    ) -> "CocaStem":
        """All blocks."""
        return CocaStem(config, preprocessing, weights)

    def tail(self, model: "open_clip.CoCa", cut: int) -> "CocaTail":
        """Attention pooling, norm and projection."""
        return CocaTail(model.visual)


FAMILY = Coca()


class CocaStem(Stem):
    """A vision tower without its head."""

    def __init__(self, config: Config, preprocessing: Preprocessing, weights: Weights) -> None:
        super().__init__(preprocessing, 0)
        from open_clip.model import _build_vision_tower

        with torch.device("meta"):
            visual = _build_vision_tower(config["embed_dim"], config["vision_cfg"], False)
        visual.attn_pool = visual.proj = None
        visual.ln_post = nn.Identity()
        self.visual = visual
        self.take({f"visual.{name}": value for name, value in weights.items()})

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Preprocessed frames [B, 3, S, S] to tokens [B, 1 + patches, width]."""
        visual = cast(Any, self.visual)
        return visual.transformer(visual._embeds(pixels))


class CocaTail(Tail):
    """The head."""

    prefix = 1

    def __init__(self, visual: "open_clip.transformer.VisionTransformer") -> None:
        super().__init__()
        self.attn_pool, self.ln_post = visual.attn_pool, visual.ln_post
        self.projection = visual.proj

    def pool(self, x: Tensor) -> Tensor:
        """The first of many queries over all tokens."""
        return self.ln_post(self.attn_pool(x))[:, 0] @ self.projection

    def pool_patches(self, patches: Tensor) -> Tensor:
        """The same over some patches."""
        return self.pool(patches)

"""Text towers: which can be adapted, and where a caption's words are among its token ids.

All families share open_clip's text transformer; it differs in its mask and in the position that
stands for the caption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

Pool = Literal["argmax", "eos", "last"]

OPTIONS = {
    "act_kwargs", "context_length", "embed_cls", "eos_id", "heads", "hf_tokenizer_name", "layers",
    "mlp_ratio", "no_causal_mask", "norm_kwargs", "output_tokens", "pad_id", "pool_type",
    "proj_bias", "proj_type", "tokenizer_kwargs", "vocab_size", "width",
}  # fmt: skip


def text_refusal(config: Mapping[str, Any]) -> str:
    """Why the text tower of an open_clip configuration cannot be adapted; empty if it can."""
    text = config.get("text_cfg", {})
    if name := text.get("hf_model_name"):
        return f"its text tower is Hugging Face's {name}, which has no place for adapters here"
    if others := text.keys() - OPTIONS:
        return f"its text tower has '{min(others)}'"
    pool = text.get("pool_type", "argmax")
    return "" if pool in get_args(Pool) else f"its text tower is pooled by '{pool}'"


@dataclass(frozen=True)
class TextLayout:
    """Where captions' words are among token ids [B, L], and which position stands for a caption.

    Attributes:
        pool: a caption's position: its highest id (CLIP's end of text), the first id of ``stops``,
            or the last of all L.
        is_causal: whether a position sees only those before it. If not, padding counts, so that
            token ids must never be cut to the longest caption.
        first: the position of the first word, after the tokens that start every caption.
        stops: the ids that end or pad a caption; not needed with ``argmax``.
        adds_class: whether the tower adds a position after all others (CoCa), which is the last.
    """

    pool: Pool = "argmax"
    is_causal: bool = True
    first: int = 1
    stops: tuple[int, ...] = ()
    adds_class: bool = False

    def pooled(self, token_ids: Tensor) -> Tensor:
        """The position that stands for each caption, int64 [B]."""
        if self.pool == "last":
            last = token_ids.shape[1] - 1 + self.adds_class
            return torch.full_like(token_ids[:, 0], last)
        return self.first + self.lengths(token_ids)

    def lengths(self, token_ids: Tensor) -> Tensor:
        """The number of each caption's words, int64 [B]."""
        if self.pool == "argmax":
            return token_ids.argmax(-1) - self.first
        stops = torch.tensor(self.stops, device=token_ids.device)
        return torch.isin(token_ids[:, self.first :], stops).int().argmax(-1)

    def columns(self, token_ids: Tensor) -> Tensor:
        """How many of the first token ids the tower needs of each caption, int64 [B]."""
        if self.is_causal and self.pool != "last":
            return self.pooled(token_ids) + 1
        return torch.full_like(token_ids[:, 0], token_ids.shape[1])

    def trim(self, token_ids: Tensor) -> Tensor:
        """Token ids on the CPU, without the columns that no caption needs."""
        return token_ids[:, : int(self.columns(token_ids).max())]

    def words(self, states: Tensor) -> Tensor:
        """The states [B, W, D] of all positions [B, L, D] that may be words: not the last id's."""
        return states[:, self.first : max(self.first + 1, states.shape[1] - 1 - self.adds_class)]

"""Attention of open_clip's blocks, computed in parts that adapters can be put between."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def attend(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Multi-head softmax attention: q [B, Lq, C], k and v [B, L, C] to [B, Lq, C]."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return out.transpose(1, 2).flatten(2)


def query_key_value(block: Any, normed: Tensor, queries: int) -> tuple[Tensor, Tensor, Tensor]:
    """An open_clip block's projections of [B, L, C]: keys and values, queries of the first ones."""
    weight, bias, width = block.attn.in_proj_weight, block.attn.in_proj_bias, normed.shape[-1]
    if queries == normed.shape[1]:
        q, k, v = F.linear(normed, weight, bias).chunk(3, dim=-1)
    else:
        q = F.linear(normed[:, :queries], weight[:width], bias[:width])
        k, v = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
    return q, k, v

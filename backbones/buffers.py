"""Tensors of a model that are no weights, computed anew: the causal mask, rotary positions."""

import torch
from torch import nn


def fill_buffers(model: nn.Module) -> None:
    """Compute on the CPU what weights files do not hold, and a model on the meta device lacks."""
    for module in model.modules():
        empty = {name: b for name, b in module.named_buffers(recurse=False) if b.is_meta}
        make = getattr(module, "init_non_persistent_buffers", None)  # timm's
        for name, buffer in empty.items():
            if name == "attn_mask":  # open_clip's
                setattr(module, name, torch.full(buffer.shape, -torch.inf).triu(1))
            elif make is not None:
                setattr(module, name, torch.empty_like(buffer, device="cpu"))
        if empty and make is not None:
            make()

"""Hashes of weights: of every tensor, and one over all that a cache's specification names."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core.hashing import sha256_of

CONFIG_DIGEST, TOKENIZER_DIGEST = "configuration", "tokenizer"


def weight_digests(
    state: Mapping[str, Tensor], config: dict[str, Any], tokenizer: Path | None
) -> dict[str, str]:
    """sha256 of every tensor by name, and of the configuration and the tokenizer's file."""
    digests = {name: hash_weights({name: value}) for name, value in state.items()}
    text = json.dumps(config, sort_keys=True)
    return {
        **digests,
        CONFIG_DIGEST: hashlib.sha256(text.encode()).hexdigest(),
        TOKENIZER_DIGEST: sha256_of(tokenizer) if tokenizer else "",
    }


def hash_digests(digests: dict[str, str]) -> str:
    """sha256 over ``weight_digests``: the field ``weights`` of a cache's specification."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and float32 values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().float().contiguous()
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()

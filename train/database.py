"""The video database: for every finished task the embeddings of its searched clips, stored when the task ended."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Block:
    """One task's clips and their unit frame embeddings, float32 [V, N, D]."""

    clips: tuple[str, ...]
    frames: Tensor

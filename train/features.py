"""The embeddings of a batch of pairs, as every trained method needs them."""

from dataclasses import dataclass

from torch import Tensor

from train.adapters import Noise
from train.model import Model
from train.settings import Settings
from train.similarity import word_frame_similarity
from train.stream import Batch

PAPER_BATCH = 32


@dataclass(frozen=True)
class PairFeatures:
    """Frames [B, N, D], words [B, L, D] with lengths [B], and word-frame similarity [B, B]: rows videos, columns texts."""

    frames: Tensor
    words: Tensor
    lengths: Tensor
    similarity: Tensor


def pair_features(model: Model, batch: Batch, task: int, noise: Noise | None) -> PairFeatures:
    """Encode a batch; each distinct clip goes through the tail once."""
    frames = model.video(batch.tokens)[batch.place]
    text = model.text(batch.ids, task, noise)
    return PairFeatures(frames, text.words, text.lengths, word_frame_similarity(frames, text.words, text.lengths))


def logit_factor(scale: Tensor, settings: Settings, batch: int) -> Tensor:
    """exp(tau) over the root of 32, or, as released, over the root of the batch's own size."""
    return scale / (PAPER_BATCH if settings.logits == "fixed" else batch) ** 0.5

"""Naive sequential fine-tuning of the adapters: no protection against forgetting."""

from torch import Tensor

from ..contrastive import contrastive
from ..stream import Batch
from .adapted import AdaptedMethod


class Finetune(AdaptedMethod):
    """Cross entropy over word-frame similarities, both directions."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The contrastive loss."""
        pairs = self.pair_features(batch)
        factor = self.logit_factor(self.towers.scale, len(batch.token_ids))
        return {"contrastive": contrastive(pairs.similarity * factor)}

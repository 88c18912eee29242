"""What ranks the clips: similarities to the query, standardised and added up.

A clip's score is w z(WF) + (1 - w) z(G), w = ``fusion_weight``, as in evaluation. The statistics
of z are taken over the run's evaluated gallery and nothing else, so a score does not depend on
which other clips are searched.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..train.methods.base import Encoder
from ..train.model.similarity import DIRECTIONS, deviation, fusion_shares
from ..train.model.towers import TextFeatures

Similarities = dict[str, Tensor]  # by name, each [V]


def compare_query(method: Encoder, text: TextFeatures, embeddings: Tensor) -> Similarities:
    """Similarities of one query to stored embeddings [V, N, D], float32 [V] on the CPU."""
    similarities = method.similarity(text, embeddings.to(method.device))
    return {name: values[0].cpu() for name, values in similarities.items()}


def join(parts: Sequence[Similarities]) -> Similarities:
    """The similarities of several parts in a row."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def standardise(
    similarities: Similarities, statistics: Similarities, weight: float
) -> tuple[Tensor, Similarities]:
    """Scores [V], and the addends that each score is the sum of, by similarity.

    Mean and deviation are taken over ``statistics``; a single similarity is not standardised.
    ``weight`` is that of the first of two. Word-frame similarity is split into its two directions
    where the method gives them.
    """
    fused = [name for name in similarities if name not in DIRECTIONS]
    terms, addends = [], {}
    for name, share in zip(fused, fusion_shares(len(fused), weight), strict=True):
        halves = [half for half in DIRECTIONS if name == "word_frame" and half in similarities]
        for part, factor in ((name, share), *((half, share / 2) for half in halves)):
            values = similarities[part]
            if len(fused) > 1:
                values = (values - statistics[part].mean()) / deviation(statistics[name])
            addends[part] = values * factor
        terms.append(addends.pop(name) if halves else addends[name])
    return torch.stack(terms).sum(0), addends

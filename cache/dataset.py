"""A cache as a PyTorch data set: one row a caption, for a ``DataLoader``."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .catalog import Split
from .reader import FeatureCache


class CaptionDataset(Dataset[tuple[Tensor, str, str]]):
    """Rows (tokens float16 [frames, 1 + patches, width], caption, category) of one split."""

    def __init__(
        self, cache: FeatureCache, split: Split, view: int, categories: Sequence[str] | None
    ) -> None:
        names = cache.catalog.categories if categories is None else tuple(categories)
        clips = cache.available(cache.catalog.select(split, names))
        self.cache, self.view = cache, view
        self.rows = [(clip, caption) for clip in clips for caption in clip.captions]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, str, str]:
        clip, caption = self.rows[index]
        tokens = torch.from_numpy(self.cache.tokens([clip.id], self.view)[0])
        return tokens, caption, clip.category

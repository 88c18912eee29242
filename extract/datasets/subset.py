"""A small part of a dataset that is still a dataset."""

from dataclasses import replace
from itertools import zip_longest

from ...cache.catalog import Catalog


def subset(catalog: Catalog, limit: int) -> Catalog:
    """At most ``limit`` clips, dealt evenly over categories and sides, so that a small part can
    still be trained on.
    """
    piles = [
        catalog.select(split, (category,))
        for category in catalog.categories
        for split in ("train", "test")
    ]
    dealt = [clip for layer in zip_longest(*piles) for clip in layer if clip is not None]
    chosen = {clip.id for clip in dealt[:limit]}
    clips = tuple(
        replace(clip, twin=clip.twin if clip.twin in chosen else None)
        for clip in catalog
        if clip.id in chosen
    )
    present = {clip.category for clip in clips}
    return Catalog(
        catalog.dataset, tuple(name for name in catalog.categories if name in present), clips
    )

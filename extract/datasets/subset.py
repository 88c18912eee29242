"""A small part of a dataset with clips of all categories and splits."""

from dataclasses import replace
from itertools import zip_longest

from ...cache.catalog import Catalog, Clip


def subset(catalog: Catalog, limit: int) -> Catalog:
    """At most ``limit`` clips, spread evenly over categories and splits."""
    groups = [catalog.select(s, (name,)) for name in catalog.categories for s in ("train", "test")]
    spread = [clip for layer in zip_longest(*groups) for clip in layer if clip is not None]
    chosen = {clip.id for clip in spread[:limit]}
    kept = [clip for clip in catalog if clip.id in chosen]
    left_out = set(catalog.ids) - chosen
    clips = tuple(replace(clip, extra=_without(left_out, clip)) for clip in kept)
    present = {clip.category for clip in clips}
    categories = tuple(name for name in catalog.categories if name in present)
    return Catalog(catalog.dataset, categories, clips)


def _without(left_out: set[str], clip: Clip) -> dict[str, str]:
    """A clip's extra without what names a clip that was left out."""
    return {name: value for name, value in clip.extra.items() if value not in left_out}

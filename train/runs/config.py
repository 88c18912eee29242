"""A run's configuration: its method with all settings, its caches, and how two differ."""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...cache.layout import COMPLETE
from ...cache.reader import FeatureCache
from ...cache.root import CacheRoot
from ...core.errors import StructAlignError
from ...core.files import is_plain_file
from ..method_config import MethodConfig
from ..methods.registry import make_config
from ..task_plan import Tasks, plan_tasks


def read_method_config(config: Mapping[str, Any]) -> MethodConfig:
    """A run's method; new settings take their defaults, unknown ones raise StructAlignError."""
    name, source, file_hash = config["method"], config["source"], config.get("file_hash")
    try:
        return make_config(name, source, config["settings"], file_hash)
    except StructAlignError as error:
        raise StructAlignError(
            f"this run's settings are not those of this version ({error}); train it again"
        ) from error


def categories_to_learn(cache: FeatureCache, left_out: Collection[str] = ()) -> tuple[str, ...]:
    """A cache's categories, but for those all of whose training clips are ``left_out``.

    Raises StructAlignError if none is left.
    """
    if not left_out:
        return cache.catalog.categories
    left = {c.category for c in cache.catalog if c.split == "train" and c.id not in left_out}
    if not left:
        raise StructAlignError(
            f"the run has every training clip of cache {cache.fingerprint[:12]} already (the same "
            "videos and times); append other clips"
        )
    return tuple(name for name in cache.catalog.categories if name in left)


def describe_part(
    cache: FeatureCache,
    tasks: Tasks,
    order: str | None,
    is_joint: bool,
    left_out: Collection[str] = (),
) -> dict[str, Any]:
    """A cache and its tasks, as an entry of a configuration's ``parts``.

    ``left_out``: clips that the run has already.
    """
    categories = categories_to_learn(cache, left_out)
    plan = plan_tasks(categories, 1 if is_joint else tasks, order)
    return {
        "fingerprint": cache.fingerprint,
        "dataset": cache.catalog.dataset,
        "reference": cache.reference,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tasks": [list(names) for names in plan],
        **({"left_out": sorted(left_out)} if left_out else {}),
    }


def find_cache(root: CacheRoot, part: Mapping[str, Any]) -> FeatureCache:
    """A part's cache, its tokens maybe absent. Raises StructAlignError if it is nowhere."""
    if root.is_published(part["fingerprint"]):
        return FeatureCache.describe(root.folder(part["fingerprint"]))
    elsewhere = part.get("reference")
    if elsewhere is not None and is_plain_file(Path(elsewhere) / COMPLETE):
        cache = FeatureCache.describe(elsewhere)
        if cache.fingerprint == part["fingerprint"]:
            return cache
    return root.find(part["fingerprint"])


def find_caches(
    root: CacheRoot, parts: Sequence[Mapping[str, Any]], known: Sequence[FeatureCache]
) -> list[FeatureCache]:
    """The caches of some parts: those of ``known``, others as ``find_cache`` finds them."""
    have = {cache.fingerprint: cache for cache in known}
    return [
        have[part["fingerprint"]] if part["fingerprint"] in have else find_cache(root, part)
        for part in parts
    ]


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Where two configurations differ: 'seed: 0 in the run, 1 now'."""
    if stored.get("file_hash") != wanted.get("file_hash"):
        return ["the method's file has changed"]
    there, now = dict(stored), dict(wanted)
    apart = ("settings", "parts")
    if all(there.get(key) == now[key] for key in now if key not in apart):
        if stored["parts"][0]["tasks"] != wanted["parts"][0]["tasks"]:
            return ["the order of the categories"]
        there, now = read_method_config(stored).as_json(), dict(wanted["settings"])
    differs = [key for key in now if key not in apart and there.get(key) != now[key]]
    return [f"{key}: {there.get(key)!r} in the run, {now[key]!r} now" for key in differs]

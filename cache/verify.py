"""Finding every damaged or missing byte of a published cache."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backbones.saved_names import FROZEN_FILE
from ..core.errors import StructAlignError
from .checksums import DamagedError
from .layout import COMPLETE, TOKENS
from .reader import FeatureCache, read_checked
from .tokens import View


@dataclass(frozen=True)
class VerifyReport:
    """Damaged and missing (clip, view), and other files that are damaged or do not belong."""

    damaged: list[tuple[str, int]]
    missing: list[tuple[str, int]]
    files: list[str]

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return not (self.damaged or self.missing or self.files)

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, under the contract's names."""
        lists = {"damaged": self.damaged, "missing": self.missing}
        rows = {k: [{"clip": c, "view": v} for c, v in views] for k, views in lists.items()}
        return {**rows, "files": self.files}


def verify(path: str | Path) -> VerifyReport:
    """Read all of a cache. Raises StructAlignError if it is not a cache that this version reads."""
    try:
        cache = FeatureCache.open(path)
        cache.check_catalog()
        views, reader = cache.published_views(), cache.reader
    except DamagedError as error:
        return VerifyReport([], [], [error.what])
    with ThreadPoolExecutor(cache.store.readers) as readers:
        states = list(readers.map(reader.state, views))
    damaged, missing = (
        [view for view, state in zip(views, states, strict=True) if state == bad]
        for bad in ("damaged", "missing")
    )
    others = [*_changed_files(cache), *_foreign_files(cache, views)]
    return VerifyReport(damaged, missing, others or _foreign_weights(cache))


def summary(body: Mapping[str, Any]) -> str:
    """The report as text, from its JSON with ``ok``, ``path`` and, after an audit, ``deep``."""
    lines = [
        f"{kind}: clip {row['clip']}, view {row['view']}"
        for kind in ("damaged", "missing")
        for row in body[kind]
    ]
    lines += [f"damaged: {name}" for name in body["files"]]
    if deep := body.get("deep"):
        lines += [f"differs when extracted again: clip {clip}" for clip in deep["differing"]]
        lines.append(
            f"{deep['clips']} clips extracted again, "
            f"smallest cosine of a token {deep['min_cosine']:.6f}"
        )
    state = "every byte is as it was written" if body["ok"] else "damaged; extract it again"
    return "\n".join([*lines, f"cache {body['path']}: {state}"])


def _foreign_weights(cache: FeatureCache) -> list[str]:
    """The file of frozen weights, if it holds others than the fingerprint was made from."""
    from ..backbones.split_weights import load_frozen  # slow: torch

    try:
        load_frozen(cache.frozen, cache.spec.weights)
    except (StructAlignError, OSError, ValueError, KeyError, TypeError, RuntimeError):
        return [f"{FROZEN_FILE} (not the weights that the fingerprint was made from)"]
    return []


def _changed_files(cache: FeatureCache) -> list[str]:
    """Files that are missing or differ from their checksum."""
    changed = []
    for name in cache.checksums:
        try:
            read_checked(cache.store, name, cache.checksums)
        except StructAlignError:
            changed.append(name)
    return changed


def _foreign_files(cache: FeatureCache, views: list[View]) -> list[str]:
    """Files that do not belong in this cache, where files can be listed."""
    shards = {f"{TOKENS}/{name}" for name in cache.reader.files(views)}
    own = {COMPLETE, *cache.checksums, *shards}
    names = cache.store.names() or ()
    return [f"{name} (does not belong here)" for name in names if name not in own]

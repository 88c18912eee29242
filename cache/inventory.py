"""What is under a cache root, as plain values and as tables."""

import json
from pathlib import Path
from typing import Any

from ..core.console import text_table
from ..core.errors import StructAlignError
from ..core.files import read_json
from .layout import BATCH_RECORDS, COMPLETE, SPEC, TOKENS
from .reader import FeatureCache
from .root import CacheRoot

COLUMNS = ("dataset", "backbone", "cut", "frames", "views", "clips")


def inventory(root: CacheRoot) -> list[dict[str, Any]]:
    """Published caches, the newest first, then unfinished ones; one with ``error`` is unusable."""
    complete = map(_entry, [*root.published(), *root.strays()])
    return [*complete, *map(_unfinished, root.unfinished())]


def describe(root: CacheRoot, reference: str | None) -> dict[str, Any]:
    """One cache in full; an unfinished one if no complete one fits. Raises StructAlignError."""
    if folder := root.locate_unfinished(reference):
        spec = read_json(folder / SPEC)
        return {**_unfinished(folder), "spec": spec, "views": None}
    cache = root.find(reference)
    return {
        **_summary(cache),
        "train_clips": cache.catalog.count("train"),
        "test_clips": cache.catalog.count("test"),
        "captions": cache.catalog.captions,
        "categories": list(cache.catalog.categories),
        "spec": cache.spec.as_json(),
        "quarantined": cache.quarantined(),
        "video_ends": cache.video_ends,
        "provenance": cache.provenance,
    }


def inventory_table(entries: list[dict[str, Any]]) -> str:
    """The entries of ``inventory`` as a table."""
    if not entries:
        return "no cache yet; run extract"
    titles = ["fingerprint", *COLUMNS, "bad", "MB", "state"]
    return text_table([titles, *map(_row, entries)], "<<<>>>>>><")


def description(body: dict[str, Any]) -> str:
    """What ``describe`` returns as lines of text."""
    apart = ("spec", "quarantined", "provenance")
    rows = [(key, value) for key, value in body.items() if key not in apart]
    rows += [(f"spec.{key}", value) for key, value in body["spec"].items()]
    rows += [(f"made.{key}", value) for key, value in body.get("provenance", {}).items()]
    plain = [(k, json.dumps(v) if isinstance(v, dict | list) else v) for k, v in rows]
    bad = body.get("quarantined") or []
    table = text_table([*plain, ("quarantined", len(bad))])
    return "\n".join([table, *(f"  {r['clip']}: {r['reason']}, {r['message']}" for r in bad)])


def _entry(folder: Path) -> dict[str, Any]:
    try:
        cache = FeatureCache.open(folder)
    except StructAlignError as error:
        entry = {"fingerprint": folder.name, "path": str(folder), "complete": False}
        return {**entry, "error": str(error)}
    shown = {name: getattr(cache.spec, name) for name in ("dataset", "backbone", "frames")}
    return {**_summary(cache), **shown, "cut": cache.spec.cut_name}


def _summary(cache: FeatureCache) -> dict[str, Any]:
    return {
        "fingerprint": cache.fingerprint, "path": str(cache.path), "clips": len(cache.catalog),
        "views": cache.spec.views, "bytes": cache.bytes, "complete": True,
        "quarantined": len(cache.quarantine),
    }  # fmt: skip


def _unfinished(folder: Path) -> dict[str, Any]:
    records = folder.glob(f"{BATCH_RECORDS}/*.json")
    rows = [row for file in records for row in _record(file)]
    return {
        "fingerprint": folder.name,
        "path": str(folder),
        "clips": len(rows),
        "bytes": sum(file.stat().st_size for file in folder.glob(f"{TOKENS}/c.*")),
        "complete": False,
        "quarantined": [row for row in rows if row["reason"]],
        "error": f"unfinished ({COMPLETE} is not written yet); "
        "give the same command again, or remove it",
    }


def _record(file: Path) -> list[dict[str, Any]]:
    """The rows of a batch record; none if it cannot be read."""
    try:
        return [row for row in read_json(file) if isinstance(row, dict) and "reason" in row]
    except (OSError, ValueError, TypeError):
        return []


def _row(entry: dict[str, Any]) -> list[object]:
    bad, size = entry.get("quarantined", ""), f"{entry.get('bytes', 0) / 1e6:.1f}"
    columns = [entry.get(name) for name in COLUMNS]
    count = bad if isinstance(bad, int) else len(bad)
    return [entry["fingerprint"][:12], *columns, count, size, entry.get("error", "complete")]

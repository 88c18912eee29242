"""What is under a cache root, as plain values and as tables."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cache import seal
from cache.errors import StructAlignError
from cache.root import CacheRoot
from cache.store import FeatureCache


def inventory(root: CacheRoot) -> list[dict[str, Any]]:
    """One entry a cache: published ones, the newest first, then unfinished ones. A damaged one is listed with its ``error``."""
    return [_entry(folder) for folder in root.published()] + [_unfinished(folder) for folder in root.unfinished()]


def describe(root: CacheRoot, reference: str | None) -> dict[str, Any]:
    """One cache in full; an unfinished one where no complete cache fits.

    Raises:
        StructAlignError: no cache fits, or it is damaged.
    """
    if folder := root.locate_unfinished(reference):
        return {**_unfinished(folder), "spec": json.loads((folder / "spec.json").read_text()), "views": None}
    cache = root.find(reference)
    return {
        **_summary(cache),
        "spec": asdict(cache.spec),
        "quarantined": cache.quarantined(),
        "provenance": cache.provenance,
    }


def inventory_table(entries: list[dict[str, Any]]) -> str:
    """For a person."""
    if not entries:
        return "no cache yet; run extract"
    head = f"{'fingerprint':<14}{'dataset':<10}{'backbone':<22}{'cut':>4}{'frames':>8}{'views':>7}{'clips':>8}{'bad':>6}{'MB':>10}  state"
    return "\n".join([head, *(_line(entry) for entry in entries)])


def description(body: dict[str, Any]) -> str:
    """For a person."""
    rows = [(key, value) for key, value in body.items() if key not in ("spec", "quarantined", "provenance")]
    rows += [(f"spec.{key}", value) for key, value in body["spec"].items()]
    rows += [(f"made.{key}", value) for key, value in body.get("provenance", {}).items()]
    lines = [f"{key:<20} {json.dumps(value) if isinstance(value, dict | list) else value}" for key, value in rows]
    bad = body.get("quarantined") or []
    return "\n".join([*lines, f"{'quarantined':<20} {len(bad)}", *(f"  {row['clip']}: {row['reason']}, {row['message']}" for row in bad)])


def _entry(folder: Path) -> dict[str, Any]:
    try:
        cache = FeatureCache.open(folder)
    except StructAlignError as error:
        return {"fingerprint": folder.name, "path": str(folder), "complete": False, "error": str(error)}
    spec = cache.spec
    return {**_summary(cache), "dataset": spec.dataset, "backbone": spec.backbone, "cut": spec.cut, "frames": spec.frames}


def _summary(cache: FeatureCache) -> dict[str, Any]:
    return {
        "fingerprint": cache.fingerprint,
        "path": str(cache.path),
        "clips": len(cache.catalog),
        "views": cache.spec.views,
        "bytes": cache.bytes,
        "complete": True,
        "quarantined": len(cache.quarantine),
    }


def _unfinished(folder: Path) -> dict[str, Any]:
    receipts = [row for file in folder.glob("receipts/*.json") for row in json.loads(file.read_text())]
    size = sum(file.stat().st_size for file in folder.glob("tokens/c.*"))
    return {
        "fingerprint": folder.name,
        "path": str(folder),
        "clips": len(receipts),
        "bytes": size,
        "complete": False,
        "quarantined": [row for row in receipts if row["reason"]],
        "error": f"unfinished ({seal.NAME} is not written yet); give the same command again, or remove it",
    }


def _line(entry: dict[str, Any]) -> str:
    bad = entry.get("quarantined", "")
    widths = {"dataset": "<10", "backbone": "<22", "cut": ">4", "frames": ">8", "views": ">7", "clips": ">8"}
    cells = "".join(format(str(entry.get(name, "")), width) for name, width in widths.items())
    count = bad if isinstance(bad, int) else len(bad)
    return f"{entry['fingerprint'][:12]:<14}{cells}{count:>6}{entry.get('bytes', 0) / 1e6:>10.1f}  {entry.get('error', 'complete')}"

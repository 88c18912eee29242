"""The manifest of checksums that makes a folder a complete cache.

The sha256 of every file, and of the manifest itself.
"""

import hashlib
import json
from typing import Any

from ..core.errors import StructAlignError
from ..core.files import parse_json

MANIFEST = "complete.json"


def manifest_text(body: dict[str, Any]) -> str:
    """The only text that ``body`` may be written as, with its own checksum in it."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    signed = {**body, "sha256": hashlib.sha256(canonical.encode()).hexdigest()}
    return json.dumps(signed, indent=1, sort_keys=True) + "\n"


def read_manifest(text: str, where: str) -> dict[str, Any]:
    """What ``manifest_text`` was given. Raises StructAlignError when a single byte differs."""
    try:
        body = dict(parse_json(text))
        body.pop("sha256")
    except (ValueError, KeyError, TypeError) as error:
        raise StructAlignError(
            f"cache {where} is damaged: {MANIFEST} cannot be read; extract it again"
        ) from error
    if manifest_text(body) != text:
        raise StructAlignError(
            f"cache {where} is damaged: {MANIFEST} is not as it was written; extract it again"
        )
    if not _well_formed(body):
        raise StructAlignError(
            f"cache {where} is damaged: {MANIFEST} is no manifest of checksums; extract it again"
        )
    return body


def _well_formed(body: dict[str, Any]) -> bool:
    """Whether it has every part in its type: its checksum fits whatever somebody put in."""
    rows, files, ends = body.get("quarantine"), body.get("files"), body.get("video_ends", {})
    return (
        isinstance(body.get("fingerprint"), str)
        and isinstance(body.get("provenance"), dict)
        and isinstance(files, dict)
        and all(isinstance(digest, str) for digest in files.values())
        and isinstance(ends, dict)
        and all(isinstance(seconds, float) for seconds in ends.values())
        and isinstance(rows, dict)
        and all(
            isinstance(row, dict) and {"reason", "message"} <= row.keys() for row in rows.values()
        )
    )

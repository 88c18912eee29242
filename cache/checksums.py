"""The manifest of checksums that makes a folder a complete cache.

The sha256 of every file, and of the manifest itself.
"""

import hashlib
import json
from typing import Any

from .runtime.errors import StructAlignError
from .shared.files import parse_json

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
    return body

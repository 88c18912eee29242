"""The file that makes a folder a complete cache: what is in it, with a checksum for every file and one for itself."""

import hashlib
import json
from typing import Any

from cache.errors import StructAlignError

NAME = "complete.json"


def sealed_text(body: dict[str, Any]) -> str:
    """The only text that ``body`` may be written as, with its own checksum in it."""
    return json.dumps({**body, "sha256": hashlib.sha256(_plain(body).encode()).hexdigest()}, indent=1, sort_keys=True) + "\n"


def read_sealed(text: str, where: str) -> dict[str, Any]:
    """What ``sealed_text`` was given. Raises StructAlignError when a single byte is another."""
    try:
        body = dict(json.loads(text))
        body.pop("sha256")
    except (ValueError, KeyError, TypeError) as error:
        raise StructAlignError(f"cache {where} is damaged: {NAME} cannot be read; extract it again") from error
    if sealed_text(body) != text:
        raise StructAlignError(f"cache {where} is damaged: {NAME} is not as it was written; extract it again")
    return body


def _plain(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))

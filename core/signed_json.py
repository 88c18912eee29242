"""JSON files that hold the sha256 of their own content, so that a changed byte is noticed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .files import parse_json

DIGEST = "sha256"


def signed_text(body: Mapping[str, Any], indent: int | None = 1, is_sorted: bool = False) -> str:
    """The only text that ``body`` may be written as, its own sha256 included."""
    canonical = json.dumps(body, sort_keys=is_sorted, separators=(",", ":"))
    signed = {**body, DIGEST: hashlib.sha256(canonical.encode()).hexdigest()}
    return json.dumps(signed, indent=indent, sort_keys=is_sorted) + "\n"


def parse_signed_text(text: str, indent: int | None = 1, is_sorted: bool = False) -> dict[str, Any]:
    """The body that ``signed_text`` was given.

    Raises:
        ValueError: it cannot be read, or a single byte differs.
    """
    try:
        body = dict(parse_json(text))
        body.pop(DIGEST)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("it cannot be read") from error
    if signed_text(body, indent, is_sorted) != text:
        raise ValueError("it is not as it was written")
    return body

"""``complete.json``: the sha256 of every file and of itself. It makes a folder a complete cache."""

import hashlib
import json
from typing import Any

from ..core.errors import StructAlignError
from ..core.files import parse_json
from .layout import COMPLETE


class DamagedError(StructAlignError):
    """A cache is not as it was written; ``what`` says which part, in a few words."""

    def __init__(self, where: object, what: str) -> None:
        super().__init__(f"cache {where} is damaged: {what}; extract it again")
        self.what = what


def checksums_text(body: dict[str, Any]) -> str:
    """The only text that ``body`` may be written as, its own sha256 included."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    signed = {**body, "sha256": hashlib.sha256(canonical.encode()).hexdigest()}
    return json.dumps(signed, indent=1, sort_keys=True) + "\n"


def parse_checksums(file: bytes, where: object) -> dict[str, Any]:
    """What ``checksums_text`` was given. Raises DamagedError if a byte or a type differs."""
    try:
        text = file.decode("utf-8")
        body = dict(parse_json(text))
        body.pop("sha256")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(where, f"{COMPLETE} cannot be read") from error
    if checksums_text(body) != text:
        raise DamagedError(where, f"{COMPLETE} is not as it was written")
    if not _is_well_formed(body):
        raise DamagedError(where, f"{COMPLETE} does not list checksums")
    return body


def _is_well_formed(body: dict[str, Any]) -> bool:
    """Whether every part has its type. A stranger can make the checksum fit anything."""
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

"""``complete.json``: the sha256 of every file and of itself. It makes a folder a complete cache."""

from typing import Any

from ..core.errors import StructAlignError
from ..core.signed_json import parse_signed_text, signed_text
from .layout import COMPLETE


class DamagedError(StructAlignError):
    """A cache is not as it was written; ``what`` says which part, in a few words."""

    def __init__(self, where: object, what: str) -> None:
        super().__init__(f"cache {where} is damaged: {what}; extract it again")
        self.what = what


def checksums_text(body: dict[str, Any]) -> str:
    """The only text that ``body`` may be written as, its own sha256 included."""
    return signed_text(body, is_sorted=True)


def parse_checksums(file: bytes, where: object) -> dict[str, Any]:
    """What ``checksums_text`` was given. Raises DamagedError if a byte or a type differs."""
    try:
        body = parse_signed_text(file.decode("utf-8"), is_sorted=True)
    except ValueError as error:
        raise DamagedError(where, f"{COMPLETE}: {error}") from error
    if not _is_well_formed(body):
        raise DamagedError(where, f"{COMPLETE} does not list checksums")
    return body


def _is_well_formed(body: dict[str, Any]) -> bool:
    """Whether every part has its type. A stranger can make the checksum fit anything."""
    rows: Any = body.get("quarantine")
    files, ends = body.get("files"), body.get("video_ends", {})
    maps: list[tuple[Any, type]] = [(files, str), (ends, float), (rows, dict)]
    return (
        isinstance(body.get("fingerprint"), str)
        and isinstance(body.get("provenance"), dict)
        and all(isinstance(values, dict) for values, _ in maps)
        and all(isinstance(value, kind) for values, kind in maps for value in values.values())
        and all({"reason", "message"} <= row.keys() for row in rows.values())
    )

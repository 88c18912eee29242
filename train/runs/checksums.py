"""Checksums of a run: of a folder's files in its ``checksums.json``, of JSON files in themselves.

Version 0.3 wrote none: its files are read unchecked.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import StructAlignError
from ...core.files import read_bytes, read_json, write_text
from ...core.hashing import check_sha256, sha256_of
from ...core.signed_json import DIGEST, parse_signed_text, signed_text

CHECKSUMS = "checksums.json"
# What makes two runs different; appending a cache or opening with a newer version does not.
IDENTITY = ("method", "file_hash", "dataset", "tasks", "order", "seed", "fingerprint", "settings")


def damaged(file: Path, why: object) -> StructAlignError:
    """The error for a file of a run that is not as it was written."""
    return StructAlignError(f"{file} is damaged ({why}); restore it, or train again")


def write_checksums(folder: Path, **of: Any) -> None:
    """Write the hashes of all files of a folder, and what the folder is ``of``."""
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir())}
    write_text(folder / CHECKSUMS, signed_text({**of, "files": files}))


def read_checksums(folder: Path, **of: Any) -> dict[str, Any] | None:
    """What ``write_checksums`` wrote, or None. Raises StructAlignError if it is damaged."""
    file = folder / CHECKSUMS
    if not file.exists():
        return None
    try:
        body = parse_signed_text(read_bytes(file).decode())
        if other := [name for name, value in of.items() if body[name] != value]:
            raise ValueError(f"it is of another {other[0]}")
        return {**body, "files": dict(body["files"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(file, error) from error


def check_folder(folder: Path, **of: Any) -> None:
    """Raises StructAlignError unless every file is as ``write_checksums`` found it."""
    if (body := read_checksums(folder, **of)) is not None:
        for name, sha256 in body["files"].items():
            check_sha256(folder / name, sha256)


def checksum_of(file: Path, checksums: Mapping[str, str] | None) -> str | None:
    """A file's sha256 among those of its folder; None where version 0.3 wrote none.

    Raises StructAlignError: no such file was written.
    """
    if checksums is None:
        return None
    if file.name not in checksums:
        raise damaged(file, "it does not belong to the task")
    return checksums[file.name]


def read_signed(file: Path, indent: int | None, is_required: bool) -> dict[str, Any]:
    """The content of a JSON file with a hash of itself.

    Without a hash it is accepted as version 0.3's, unless that ``is_required``. Raises OSError,
    ValueError or TypeError.
    """
    body = dict(read_json(file))
    if DIGEST in body or is_required:
        return parse_signed_text(read_bytes(file).decode(), indent)
    return body


def identity(config: Mapping[str, Any]) -> str:
    """The sha256 of what makes a run itself, of its configuration."""
    text = json.dumps({name: config.get(name) for name in IDENTITY}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

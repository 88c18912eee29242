"""Reading and writing files: atomic writes, plain files only, JSON, text that people wrote."""

import codecs
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from .errors import StructAlignError

LONGEST_NAME = 200  # bytes; file systems take 255, and names here get beginnings and endings
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically: after a power cut it is whole or absent."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, body: bytes) -> None:
    """Write a file atomically: after a power cut it is whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_name(text: str) -> str:
    """A text as a file's name: what a file system may refuse is escaped, a long end hashed."""
    name = re.sub(r'[%<>:"/\\|?*\x00-\x1f]', lambda found: f"%{ord(found[0]):02X}", text)
    if len(body := name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{body[: LONGEST_NAME - 17].decode(errors='ignore')}-{digest}"


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file that is never written to again; copy it where links are not supported."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def is_plain_file(path: Path) -> bool:
    """Whether ``path`` is a plain file; False, not an error, where permissions hide it."""
    return os.path.isfile(path)


def read_bytes(path: Path) -> bytes:
    """A plain file's bytes. Raises OSError, also for a pipe or device: reading could block."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a plain file")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """The JSON in a plain file. Raises OSError, or ValueError if it is not JSON."""
    return parse_json(read_bytes(path).decode("utf-8"))


def parse_json(text: str, unique: bool = False) -> Any:
    """The value of a JSON text.

    Raises ValueError, also if it is nested too deep, or if a key must be ``unique`` and is not.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(n for n in names if names.count(n) > 1)}' stands twice")
    return body


def read_user_text(path: Path) -> str:
    """The text of a file that a person or another program wrote, without its byte order mark.

    It is UTF-8, or UTF-16 with a byte order mark. Raises StructAlignError.
    """
    try:
        body = read_bytes(path)
        return body.decode("utf-16" if body.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise StructAlignError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    except OSError as error:
        raise StructAlignError(f"{path} cannot be read: {error.strerror or error}") from error


def share_mode(path: Path) -> None:
    """Give a file the mode that the umask allows: some libraries write owner-only files."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)

"""Reading and writing files: atomic writes, plain files only, JSON."""

import json
import os
import shutil
from pathlib import Path
from typing import Any


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


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, also if it is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error


def share_mode(path: Path) -> None:
    """Give a file the mode that the umask allows: some libraries write owner-only files."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)

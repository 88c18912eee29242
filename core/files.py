"""Atomic files: there whole or not at all."""

import json
import os
import shutil
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically, safe against a power cut."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, body: bytes) -> None:
    """Write a file atomically, safe against a power cut."""
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
    """A second name of a file that is never written to, a copy where there are no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def is_plain_file(path: Path) -> bool:
    """Whether a plain file is there and may be seen; ``Path.is_file`` raises where it may not."""
    return os.path.isfile(path)


def read_bytes(path: Path) -> bytes:
    """A plain file's bytes. Raises OSError, also for a pipe or device, which would block."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a plain file")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """The JSON in a plain file. Raises OSError, or ValueError where it holds none."""
    return parse_json(read_bytes(path).decode("utf-8"))


def parse_json(text: str) -> Any:
    """The JSON in a text. Raises ValueError, also where it is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error


def share_mode(path: Path) -> None:
    """Give a file the mode that the umask allows; some libraries leave owner-only files."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)

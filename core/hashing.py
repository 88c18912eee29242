"""sha256 of files, and a cache of hashes by path, size and modification time."""

import hashlib
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from .errors import StructAlignError
from .files import is_plain_file, read_json, write_text

MISSING = "missing"
# Seconds: a file changed less than this before hashing may change again within one clock tick.
SETTLED = 2.0


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, sha256: str) -> None:
    """Raises StructAlignError unless a plain file's bytes have this hash."""
    try:
        if not is_plain_file(path):
            raise OSError("not a file")
        if sha256_of(path) != sha256:
            raise OSError("it is not as it was written")
    except OSError as error:
        raise StructAlignError(
            f"{path} is missing or damaged ({error}); restore it, or make it again"
        ) from error


class FileHashCache:
    """sha256 of files below ``folder``, kept in ``stored`` while sizes and times do not change."""

    def __init__(self, stored: Path, folder: Path) -> None:
        self.stored, self.folder = stored, folder

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """Hash by path relative to the folder; "missing" where there is no plain file."""
        cached = self._load()
        stats = {path: _stat(self.folder / path) for path in dict.fromkeys(paths)}
        todo = [path for path, now in stats.items() if now and cached.get(path, ())[:2] != now]
        began = time.time()
        with ThreadPoolExecutor() as pool:
            computed = pool.map(sha256_of, [self.folder / path for path in todo])
            fresh = dict(zip(todo, computed, strict=True))
        hashes = {
            path: MISSING if now is None else fresh.get(path) or cached[path][2]
            for path, now in stats.items()
        }
        settled = {
            path: (*now, hashes[path])
            for path, now in stats.items()
            if now and now[1] / 1e9 < began - SETTLED
        }
        if any(cached.get(path) != entry for path, entry in settled.items()):
            self.stored.parent.mkdir(parents=True, exist_ok=True)
            body = {"folder": str(self.folder), "files": {**cached, **settled}}
            with suppress(IsADirectoryError):  # a folder of that name: hashes are not kept
                write_text(self.stored, json.dumps(body))
        return hashes

    def _load(self) -> dict[str, tuple[int, int, str]]:
        try:
            body = read_json(self.stored)
            if body["folder"] != str(self.folder):
                return {}
            rows = body["files"].items()
            return {path: (int(size), int(at), str(digest)) for path, (size, at, digest) in rows}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _stat(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns

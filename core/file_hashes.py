"""A cache of file hashes by path, size and modification time, so that no file is read twice."""

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from .files import read_json, sha256_of, write_text

MISSING = "missing"
# Seconds: a file changed less than this before hashing may change again within one clock tick.
SETTLED = 2.0


class FileHashCache:
    """sha256 of the files below a folder, kept in the file ``memo``, which may be deleted.

    An entry is valid while the file's size and modification time are unchanged.
    """

    def __init__(self, memo: Path, folder: Path) -> None:
        self.memo, self.folder = memo, folder

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """Hash by path relative to the folder; "missing" where there is no plain file."""
        known = self._load()
        stats = {path: _stat(self.folder / path) for path in dict.fromkeys(paths)}
        changed = {path for path, now in stats.items() if known.get(path, (0, 0, ""))[:2] != now}
        todo = [path for path in stats if path in changed and stats[path] is not None]
        began = time.time()
        with ThreadPoolExecutor() as pool:
            found = pool.map(sha256_of, [self.folder / path for path in todo])
            fresh = dict(zip(todo, found, strict=True))
        hashes = {
            path: MISSING if now is None else fresh.get(path) or known[path][2]
            for path, now in stats.items()
        }
        settled = {
            path: (*now, hashes[path])
            for path, now in stats.items()
            if now is not None and now[1] / 1e9 < began - SETTLED
        }
        if any(known.get(path) != entry for path, entry in settled.items()):
            self.memo.parent.mkdir(parents=True, exist_ok=True)
            body = {"folder": str(self.folder), "files": {**known, **settled}}
            with suppress(IsADirectoryError):  # somebody's folder in its place: it only saves time
                write_text(self.memo, json.dumps(body))
        return hashes

    def _load(self) -> dict[str, tuple[int, int, str]]:
        try:
            body = read_json(self.memo)
            if body["folder"] != str(self.folder):
                return {}
            rows = body["files"].items()
            return {path: (int(size), int(at), str(digest)) for path, (size, at, digest) in rows}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _stat(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    found = path.stat()
    return found.st_size, found.st_mtime_ns

"""What was found out about files before: hashes by path, size and time of change, so that nothing is read twice."""

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cache.files import sha256_of, write_text

MISSING = "missing"
SETTLED = 2.0  # seconds: a file changed later than this before it was hashed may change again within one tick of its clock


class KnownHashes:
    """sha256 of the files below a folder, remembered in ``memo`` under the root that a lab shares.

    An entry counts while the file's size and time of change are as they were. The memo may be deleted at any time.
    """

    def __init__(self, memo: Path, folder: Path) -> None:
        self.memo, self.folder = memo, folder

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """Hash by path relative to the folder; "missing" where there is no plain file."""
        known = self._load()
        stats = {path: _stat(self.folder / path) for path in dict.fromkeys(paths)}
        todo = [path for path, now in stats.items() if now is not None and known.get(path, (0, 0, ""))[:2] != now]
        began = time.time()
        with ThreadPoolExecutor() as pool:
            fresh = dict(zip(todo, pool.map(sha256_of, [self.folder / path for path in todo]), strict=True))
        hashes = {path: MISSING if now is None else fresh.get(path) or known[path][2] for path, now in stats.items()}
        settled = {path: (*now, hashes[path]) for path, now in stats.items() if now is not None and now[1] / 1e9 < began - SETTLED}
        if any(known.get(path) != entry for path, entry in settled.items()):
            self.memo.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.memo, json.dumps({"folder": str(self.folder), "files": {**known, **settled}}))
        return hashes

    def _load(self) -> dict[str, tuple[int, int, str]]:
        try:
            body = json.loads(self.memo.read_text())
            if body["folder"] != str(self.folder):
                return {}
            return {path: (int(size), int(changed), str(digest)) for path, (size, changed, digest) in body["files"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _stat(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    found = path.stat()
    return found.st_size, found.st_mtime_ns

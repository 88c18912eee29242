"""The video file of a clip: in a folder known here, and the very file that was extracted"""

import time
from pathlib import Path

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from ..core.hashing import MISSING, SETTLED, sha256_of
from ..extract.video.errors import ClipError


class ClipFiles:
    """Finds the files of clips.

    A file is only found if its sha256 is the one in the cache's ``sources``: another file that lies
    there now is neither shown nor served. Files are hashed again only when they change. ``root``:
    where the videos are now; by default where they were, for caches that were extracted here.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._hashes: dict[Path, tuple[tuple[int, ...], str]] = {}

    def root(self, cache: FeatureCache) -> Path:
        """The folder of a cache's videos. Raises ClipError "missing" if nobody here named one."""
        root = self._root or cache.video_root
        if root is None:
            raise ClipError(
                "missing",
                f"cache {cache.fingerprint[:12]} was made elsewhere; "
                "give the folder of its videos with --root",
            )
        return root

    def path(self, cache: FeatureCache, clip: Clip) -> Path:
        """The file of a clip.

        Raises ClipError: "missing" where no folder is known, no file is there, or it is another
        file than the one that was extracted.
        """
        path = self.root(cache) / clip.path
        if not path.is_file():
            raise ClipError("missing", f"{path} is no longer there")
        try:
            sha256 = self._sha256(path)
        except OSError as error:
            raise ClipError("missing", f"{path} is not readable ({error.strerror})") from error
        if sha256 != cache.sources.get(clip.path, MISSING):
            raise ClipError("missing", f"{path} is another file than the one that was extracted")
        return path

    def _sha256(self, path: Path) -> str:
        stat = path.stat()
        key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known, sha256 = self._hashes.get(path, ((), ""))
        if known == key:
            return sha256
        began = time.time()
        sha256 = sha256_of(path)
        if stat.st_ctime_ns / 1e9 < began - SETTLED:
            self._hashes[path] = (key, sha256)
        return sha256

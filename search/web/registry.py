"""The served runs, ready to be searched, and the files of their clips."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.catalog import Clip, composed
from ...cache.reader import FeatureCache
from ...core.errors import StructAlignError, unknown
from ...extract.video.errors import ClipError
from ...train.runs.run import Run
from ..clip_files import ClipFiles
from ..searcher import Searcher


class NotServedError(StructAlignError):
    """No such clip, or its file may not be served."""


@dataclass(frozen=True)
class ServedRun:
    """A run ready to be searched, and the name that the page shows."""

    name: str
    searcher: Searcher

    def describe(self) -> dict[str, Any]:
        """Plain values: what can be searched, and the values of each filter."""
        parts, run = self.searcher.searched, self.searcher.run
        catalogs = {part.cache.fingerprint: part.cache.catalog for part in parts}
        names = {name for catalog in catalogs.values() for name in catalog.categories}
        return {
            "name": self.name,
            "method": run.config["method"],
            "clips": len(self.searcher),
            "frames": parts[0].cache.spec.frames,
            "tasks": [list(task) for task in run.stream.categories[: run.finished]],
            "categories": sorted(names),
            "caches": [
                {"fingerprint": key, "dataset": catalog.dataset}
                for key, catalog in catalogs.items()
            ],
        }


class RunRegistry:
    """The served runs, and the clips of their caches.

    ``runs`` are by name, in the page's order; every run searches ``added`` too; ``root`` is where
    the videos are now. Raises StructAlignError: a run has no finished task, or ``added`` does not
    fit a run.
    """

    def __init__(
        self, runs: Sequence[tuple[str, Run]], added: FeatureCache | None = None,
        root: Path | None = None,
    ) -> None:  # fmt: skip
        self.files = ClipFiles(root)
        self.runs = {name: ServedRun(name, Searcher(run, added)) for name, run in runs}
        self.caches = {
            part.cache.fingerprint: part.cache
            for served in self.runs.values()
            for part in served.searcher.searched
        }
        self.encoding = threading.Lock()  # one upload at a time, as each loads the backbone

    def run(self, name: str | None) -> ServedRun:
        """A run by name, by default the first. Raises StructAlignError for an unknown name."""
        if name is None:
            return next(iter(self.runs.values()))
        if name not in self.runs:
            raise unknown("run", name, list(self.runs))
        return self.runs[name]

    def clip(self, name: str, fingerprint: str | None) -> tuple[FeatureCache, Clip]:
        """A clip and its cache. Raises NotServedError when no served cache has it."""
        name = composed(name)
        for cache in self.caches.values():
            if fingerprint in (None, cache.fingerprint) and name in cache.catalog:
                return cache, cache.catalog[name]
        raise NotServedError(f"no clip {name!r} in the caches that are served")

    def video(self, name: str, fingerprint: str | None) -> tuple[Path, str]:
        """The file of a clip, and its sha256.

        Raises NotServedError: no such clip, no folder of its videos is known here, its video is
        gone or another file by now, or it lies outside its root once links are followed.
        """
        cache, clip = self.clip(name, fingerprint)
        try:
            root = self.files.root(cache).resolve()
            if not (root / clip.path).resolve().is_relative_to(root):
                raise NotServedError(f"the video of {name!r} lies outside of its folder")
            return self.files.path(cache, clip).resolve(), cache.sources[clip.path]
        except ClipError as error:
            raise NotServedError(f"no video of {name!r}: {error.message}") from error

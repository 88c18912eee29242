"""What is served: runs ready to be searched, and the files of their clips."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.catalog import Clip
from ...cache.reader import FeatureCache
from ...core.errors import StructAlignError, unknown
from ...train.runs.run import Run
from ..searcher import Searcher


class NotServedError(StructAlignError):
    """There is no such clip, or its file is not one that may be served."""


@dataclass(frozen=True)
class ServedRun:
    """A run by the name that the page shows, ready to be searched."""

    name: str
    run: Run
    searcher: Searcher

    def describe(self) -> dict[str, Any]:
        """Plain values: what can be searched and filtered by."""
        parts = self.searcher.searched
        catalogs = {part.cache.fingerprint: part.cache.catalog for part in parts}
        names = {name for catalog in catalogs.values() for name in catalog.categories}
        return {
            "name": self.name,
            "method": self.run.config["method"],
            "clips": len(self.searcher),
            "frames": parts[0].cache.spec.frames,
            "tasks": [list(c) for c in self.run.stream.categories[: self.run.finished]],
            "categories": sorted(names),
            "caches": [
                {"fingerprint": key, "dataset": catalog.dataset}
                for key, catalog in catalogs.items()
            ],
        }


class Library:
    """The runs that are served, and the clips of their caches.

    Args:
        runs: opened runs by name, in the page's order.
        added: another cache that every run searches too.
        root: where the videos are now; by default where each cache's were.

    Raises:
        StructAlignError: a run without a finished task, or ``added`` does not fit one of them.
    """

    def __init__(
        self, runs: Sequence[tuple[str, Run]], added: FeatureCache | None = None,
        root: Path | None = None,
    ) -> None:  # fmt: skip
        self.root = root
        self.served = {}
        for name, run in runs:
            fits = added is None or added.fingerprint in [c.fingerprint for c in run.caches]
            searcher = Searcher(run, None if fits else added)
            self.served[name] = ServedRun(name, run, searcher)
        self.caches = {
            part.cache.fingerprint: part.cache
            for one in self.served.values()
            for part in one.searcher.searched
        }
        self.encoding = threading.Lock()  # one upload at a time: it loads the whole backbone

    def run(self, name: str | None) -> ServedRun:
        """A run by name; the first without one. Raises StructAlignError when there is none."""
        if name is None:
            return next(iter(self.served.values()))
        if name not in self.served:
            raise unknown("run", name, list(self.served))
        return self.served[name]

    def clip(self, name: str, fingerprint: str | None) -> tuple[FeatureCache, Clip]:
        """A clip of a catalog. Raises NotServedError when no catalog has it."""
        for cache in self.caches.values():
            if fingerprint in (None, cache.fingerprint) and name in cache.catalog:
                return cache, cache.catalog[name]
        raise NotServedError(f"no clip {name!r} in the caches that are served")

    def video(self, name: str, fingerprint: str | None) -> Path:
        """The file of a clip.

        Raises:
            NotServedError: no such clip, its video is gone, or it does not lie below its root once
                links are followed.
        """
        cache, clip = self.clip(name, fingerprint)
        known = self.root or cache.provenance.get("root")
        if not known:
            raise NotServedError(f"where the video of {name!r} is, is not known; give --root")
        root = Path(known).resolve()
        path = (root / clip.path).resolve()
        if not path.is_relative_to(root):
            raise NotServedError(f"the video of {name!r} lies outside of its folder")
        if not path.is_file():
            raise NotServedError(f"the video of {name!r} is no longer there")
        return path

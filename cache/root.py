"""The cache root: a folder that a lab shares, with published caches and those being made."""

import json
import os
import shutil
from pathlib import Path

from cache.errors import StructAlignError
from cache.staging import StagedCache
from cache.store import FeatureCache


class CacheRoot:
    """``caches/`` holds published caches by fingerprint, ``staging/`` unfinished ones, ``datasets/`` generated videos."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def published(self) -> list[Path]:
        """Folders of complete caches, the newest first."""
        found = [file.parent for file in self.path.glob("caches/*/complete.json")]
        return sorted(found, key=lambda folder: (folder / "complete.json").stat().st_mtime_ns, reverse=True)

    def folder(self, fingerprint: str) -> Path:
        """Where the cache with this fingerprint is, or would be."""
        return self.path / "caches" / fingerprint[:32]

    def stage(self, fingerprint: str) -> StagedCache:
        """The staging folder for a fingerprint, new or as an interrupted extraction left it."""
        return StagedCache(self.path / "staging" / fingerprint[:32])

    def publish(self, staged: StagedCache, fingerprint: str) -> Path:
        """Make a sealed cache visible with one rename. If somebody else published the same, theirs stands."""
        target = self.folder(fingerprint)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(staged.path, target)
        except OSError:
            if not (target / "complete.json").is_file():
                raise
            shutil.rmtree(staged.path, ignore_errors=True)
        return target

    def find(self, reference: str | None) -> FeatureCache:
        """A cache by path, by (the beginning of) its fingerprint, by dataset name, or, without reference, the newest.

        Raises:
            StructAlignError: none fits, or several fingerprints begin so.
        """
        if reference and (Path(reference) / "spec.json").is_file():
            return FeatureCache.open(reference)
        folders = self.published()
        if reference is None:
            if not folders:
                raise StructAlignError(f"no complete cache under {self.path}; run 'extract' first, or name one with --cache")
            return FeatureCache.open(folders[0])
        if len(reference) >= 4 and (matches := [folder for folder in folders if _fingerprint(folder).startswith(reference)]):
            if len(matches) > 1:
                raise StructAlignError(f"{len(matches)} caches begin with '{reference}'; give more of the fingerprint")
            return FeatureCache.open(matches[0])
        for folder in folders:
            if json.loads((folder / "spec.json").read_text()).get("dataset") == reference:
                return FeatureCache.open(folder)
        raise StructAlignError(f"no cache '{reference}' under {self.path} and no such folder; 'cache ls' lists what is there")


def _fingerprint(folder: Path) -> str:
    return str(json.loads((folder / "complete.json").read_text())["fingerprint"])

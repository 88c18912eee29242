"""The cache root: a folder that a lab shares, with published caches and those being made."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from cache import seal
from cache.claim import Claim
from cache.errors import StructAlignError
from cache.identity import KnownBackbones
from cache.known import KnownHashes
from cache.sharing import make_read_only, make_root, make_writable, open_to_group
from cache.staging import CACHE_FILES, StagedCache
from cache.store import FeatureCache, is_remote


class CacheRoot:
    """``caches/`` holds published caches by fingerprint, ``staging/`` unfinished ones, ``claims/`` who works on them, ``known/`` hashes of
    files, ``datasets/`` generated videos."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open_for_writing(self) -> None:
        """Make the root if it is not there; what this process writes from now on is open to the group if the root is."""
        make_root(self.path)
        open_to_group(self.path)

    def published(self) -> list[Path]:
        """Folders of complete caches, the newest first."""
        found = [file.parent for file in self.path.glob(f"caches/*/{seal.NAME}")]
        return sorted(found, key=lambda folder: (folder / seal.NAME).stat().st_mtime_ns, reverse=True)

    def unfinished(self) -> list[Path]:
        """Folders of caches that are being made, or were when something ended them."""
        return sorted(file.parent for file in self.path.glob("staging/*/spec.json"))

    def folder(self, fingerprint: str) -> Path:
        """Where the cache with this fingerprint is, or would be."""
        return self.path / "caches" / fingerprint[:32]

    def is_published(self, fingerprint: str) -> bool:
        """Whether it is there and complete."""
        return (self.folder(fingerprint) / seal.NAME).is_file()

    def stage(self, name: str) -> StagedCache:
        """The staging folder of a cache, new or as an interrupted process left it. Its name is the fingerprint, or an import's own."""
        return StagedCache(self.path / "staging" / name[:32])

    def claim(self, name: str) -> Claim:
        """The right to work on a cache in its staging folder."""
        return Claim(self.path / "claims", name[:32])

    def known_hashes(self, folder: Path) -> KnownHashes:
        """Hashes of source files below ``folder``."""
        absolute = folder.resolve()
        name = hashlib.sha256(str(absolute).encode()).hexdigest()[:16]
        return KnownHashes(self.path / "known" / f"{name}.json", absolute)

    def known_backbones(self) -> KnownBackbones:
        """Identities of backbones."""
        return KnownBackbones(self.path / "known" / "backbones.json")

    def publish(self, staged: StagedCache, fingerprint: str) -> Path:
        """Make a sealed cache visible with one rename, read-only from then on; what was published before gives way."""
        target = self.folder(fingerprint)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.strip()
        for path in staged.path.iterdir():
            make_read_only(path)
        if target.exists():
            self.remove(target)
        os.rename(staged.path, target)
        make_read_only(target)
        return target

    def remove(self, folder: Path) -> None:
        """Delete a published cache: unseen in one step, then gone.

        Raises:
            StructAlignError: it is not a cache, or holds something that no cache holds.
        """
        names = {path.name for path in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else set()
        if not {"spec.json", "tokens"} <= names:
            raise StructAlignError(f"{folder} is not a cache; nothing was removed")
        if foreign := sorted(names - CACHE_FILES):
            raise StructAlignError(f"{folder} also holds {', '.join(foreign[:5])}, which is no part of a cache; nothing was removed")
        make_writable(folder)
        leaving = folder.with_name(f".{folder.name}.{os.getpid()}.leaving")
        os.rename(folder, leaving)
        shutil.rmtree(leaving)

    def abandon(self, folder: Path) -> None:
        """Delete an unfinished cache.

        Raises:
            StructAlignError: somebody is making it.
        """
        claim = self.claim(folder.name)
        if not claim.try_acquire():
            raise StructAlignError(f"{claim.holder()} is making {folder}; stop that first, nothing was removed")
        with claim:
            make_writable(folder)
            shutil.rmtree(folder)

    def find(self, reference: str | None) -> FeatureCache:
        """A cache by path or URL, by (the beginning of) its fingerprint, by dataset name, or, without reference, the newest.

        Raises:
            StructAlignError: none fits, or several fingerprints begin so.
        """
        return FeatureCache.open(self.locate(reference))

    def locate(self, reference: str | None) -> str | Path:
        """The same, without opening it."""
        if reference and (is_remote(reference) or (Path(reference) / "spec.json").is_file()):
            return reference if is_remote(reference) else Path(reference)
        folders = self.published()
        if reference is None:
            if not folders:
                raise StructAlignError(f"no complete cache under {self.path}; run 'extract' first, or name one with --cache")
            return folders[0]
        if matches := [folder for folder in folders if len(reference) >= 4 and folder.name.startswith(reference[:32])]:
            if len(matches) > 1:
                raise StructAlignError(f"{len(matches)} caches begin with '{reference}'; give more of the fingerprint")
            return matches[0]
        for folder in folders:
            if _dataset(folder) == reference:
                return folder
        raise StructAlignError(f"no cache '{reference}' under {self.path} and no such folder; 'cache ls' lists what is there")

    def locate_unfinished(self, reference: str | None) -> Path | None:
        """The unfinished cache whose name begins so, where ``locate`` knows no complete one by this reference."""
        try:
            self.locate(reference)
        except StructAlignError:
            begin = (reference or "")[:32]
            named = [folder for folder in self.unfinished() if len(begin) >= 4 and folder.name.startswith(begin)]
            several = any(folder.name.startswith(begin) for folder in self.published())
            return named[0] if len(named) == 1 and not several else None
        return None


def _dataset(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "spec.json").read_text())["dataset"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

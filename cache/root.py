"""The cache root: a folder that a lab shares, with published caches and unfinished ones."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..backbones.identity import BackboneIdentities
from ..core.errors import StructAlignError
from ..core.file_hashes import FileHashCache
from ..core.files import is_plain_file, read_json
from ..core.lease import Lease
from ..core.permissions import make_read_only, make_root, make_writable, open_to_group, own_copy
from ..core.progress import log_to_stderr
from .checksums import MANIFEST
from .reader import FeatureCache
from .tokens import is_remote
from .writer import CACHE_FILES, CacheWriter

ENVIRONMENT, DEFAULT = "STRUCTALIGN_CACHE", "~/.cache/structalign"


class CacheRoot:
    """A folder of caches.

    ``caches/`` holds published caches by fingerprint, ``staging/`` unfinished ones, ``claims/``
    the leases of those who write them, ``known/`` hashes of files, ``datasets/`` generated videos.

    Args:
        path: the folder; by default STRUCTALIGN_CACHE, else ~/.cache/structalign.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path or os.environ.get(ENVIRONMENT) or DEFAULT).expanduser()

    def open_for_writing(self) -> None:
        """Make the root if needed; what this process writes is open to the group if the root is."""
        make_root(self.path)
        open_to_group(self.path)

    def published(self) -> list[Path]:
        """Folders of complete caches, the newest first."""
        found = [f.parent for f in self.path.glob(f"caches/[!.]*/{MANIFEST}") if is_plain_file(f)]
        return sorted(found, key=lambda f: (f / MANIFEST).stat().st_mtime_ns, reverse=True)

    def strays(self) -> list[Path]:
        """What lies among the published caches and is none: no plain manifest of checksums."""
        found = self.path.glob("caches/[!.]*")
        return sorted(path for path in found if not is_plain_file(path / MANIFEST))

    def unfinished(self) -> list[Path]:
        """Folders of caches that are being written, or whose writing was interrupted."""
        return sorted(file.parent for file in self.path.glob("staging/[!.]*/spec.json"))

    def folder(self, fingerprint: str) -> Path:
        """Where the cache with this fingerprint is, or would be."""
        return self.path / "caches" / fingerprint[:32]

    def is_published(self, fingerprint: str) -> bool:
        """Whether it is there and complete."""
        return is_plain_file(self.folder(fingerprint) / MANIFEST)

    def writer(self, name: str) -> CacheWriter:
        """The folder of an unfinished cache, new or as an interrupted process left it."""
        return CacheWriter(self.path / "staging" / name[:32])

    def lease(self, name: str) -> Lease:
        """The right to write an unfinished cache."""
        return Lease(self.path / "claims", name[:32])

    def file_hashes(self, folder: Path) -> FileHashCache:
        """Hashes of source files below ``folder``."""
        absolute = folder.resolve()
        name = hashlib.sha256(str(absolute).encode()).hexdigest()[:16]
        return FileHashCache(self.path / "known" / f"{name}.json", absolute)

    def backbone_identities(self) -> BackboneIdentities:
        """Identities of backbones that were loaded before."""
        return BackboneIdentities(self.path / "known" / "backbones.json")

    def publish(self, writer: CacheWriter, fingerprint: str) -> Path:
        """Publish a finalized cache with one rename, read-only from then on.

        Replaces an old one.
        """
        target = self.folder(fingerprint)
        target.parent.mkdir(parents=True, exist_ok=True)
        writer.strip()
        source = own_copy(writer.path)
        for path in source.iterdir():
            make_read_only(path)
        if target.exists():
            self._check_is_cache(target)
            os.rename(target, _leaving(target))
        os.rename(source, target)
        make_read_only(target)
        if source != writer.path:
            os.rename(writer.path, _leaving(writer.path))
        for left in (*target.parent.glob(".*.leaving"), *writer.path.parent.glob(".*.leaving")):
            # What another member of the group made is theirs to delete: it waits for them.
            with suppress(PermissionError):
                make_writable(left)
                shutil.rmtree(left)
        return target

    def remove(self, folder: Path) -> None:
        """Delete a published cache: hidden in one step, then removed.

        Raises:
            StructAlignError: it is not a cache, or holds something that no cache holds.
        """
        self._check_is_cache(folder)
        make_writable(folder)
        leaving = _leaving(folder)
        os.rename(folder, leaving)
        shutil.rmtree(leaving)

    def _check_is_cache(self, folder: Path) -> None:
        is_folder = folder.is_dir() and not folder.is_symlink()
        names = {path.name for path in folder.iterdir()} if is_folder else set()
        if not {"spec.json", "tokens"} <= names:
            raise StructAlignError(f"{folder} is not a cache; nothing was removed")
        if foreign := sorted(names - CACHE_FILES):
            raise StructAlignError(
                f"{folder} also holds {', '.join(foreign[:5])}, which is no part of a cache; "
                "nothing was removed"
            )

    def abandon(self, folder: Path) -> None:
        """Delete an unfinished cache. Raises StructAlignError while somebody is writing it."""
        lease = self.lease(folder.name)
        if not lease.try_acquire():
            raise StructAlignError(
                f"{lease.holder()} is making {folder}; stop that first, nothing was removed"
            )
        with lease:
            make_writable(folder)
            shutil.rmtree(folder)

    def find(self, reference: str | None) -> FeatureCache:
        """A cache by path or URL, fingerprint (or its beginning), dataset name, or the newest.

        Raises:
            StructAlignError: none fits, or several fingerprints begin so.
        """
        fitting = self._fitting(reference)
        for folder in fitting[:-1]:
            try:
                return FeatureCache.open(folder)
            except StructAlignError as error:
                # A damaged cache in a shared root costs itself alone.
                log_to_stderr(f"left out: {error}")
        return FeatureCache.open(fitting[-1])

    def locate(self, reference: str | None) -> str | Path:
        """The same, without opening it."""
        return self._fitting(reference)[0]

    def _fitting(self, reference: str | None) -> list[str] | list[Path]:
        """All that fit, the newest first: several where a dataset, or nothing, is named."""
        if reference and is_remote(reference):
            return [reference]
        if reference and (Path(reference) / "spec.json").is_file():
            return [Path(reference)]
        folders = self.published()
        if reference is None:
            if not folders:
                raise StructAlignError(
                    f"no complete cache under {self.path}; "
                    "run 'extract' first, or name one with --cache"
                )
            return folders
        long_enough = len(reference) >= 4
        matches = [f for f in folders if long_enough and f.name.startswith(reference[:32])]
        if len(matches) > 1:
            raise StructAlignError(
                f"{len(matches)} caches begin with '{reference}'; give more of the fingerprint"
            )
        if found := matches or [folder for folder in folders if _dataset(folder) == reference]:
            return found
        if Path(reference).is_dir():
            raise StructAlignError(
                f"{reference} is a folder but no cache; if it holds videos, extract them first: "
                f"structalign extract --dataset manifest --root {reference}"
            )
        raise StructAlignError(
            f"no cache '{reference}' under {self.path} and no such folder; "
            "'cache ls' lists what is there"
        )

    def locate_unfinished(self, reference: str | None) -> Path | None:
        """The unfinished cache whose name begins so, unless a complete one fits ``reference``."""
        try:
            self.locate(reference)
        except StructAlignError:
            begin = (reference or "")[:32]
            named = [f for f in self.unfinished() if len(begin) >= 4 and f.name.startswith(begin)]
            several = any(folder.name.startswith(begin) for folder in self.published())
            return named[0] if len(named) == 1 and not several else None
        return None


def _leaving(folder: Path) -> Path:
    """Where a folder that goes is hidden until it is deleted."""
    return folder.with_name(f".{folder.name}.{os.getpid()}.leaving")


def _dataset(folder: Path) -> str | None:
    try:
        return str(read_json(folder / "spec.json")["dataset"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

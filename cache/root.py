"""The cache root: a folder that a lab shares, with published caches and unfinished ones."""

import hashlib
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from ..backbones.identity import BackboneIdentities
from ..core.console import log_to_stderr
from ..core.errors import StructAlignError
from ..core.files import is_plain_file, read_json
from ..core.hashing import FileHashCache
from ..core.lease import Lease
from ..core.permissions import make_read_only, make_root, make_writable, open_to_group, own_copy
from .layout import CATALOG_JSON, COMPLETE, PUBLISHED, SPEC, TOKENS
from .reader import FeatureCache
from .store import is_url
from .writer import CacheWriter

ENVIRONMENT, DEFAULT = "STRUCTALIGN_CACHE", "~/.cache/structalign"
# These names stay: other versions that share a root must see the same locks.
LOCKS, HASH_CACHE, UNFINISHED = "claims", "known", "staging"
SHOWN = 5  # caches that an error lists


class CacheRoot:
    """A folder of caches; by default at STRUCTALIGN_CACHE, else ~/.cache/structalign.

    ``caches/`` holds published caches by fingerprint, ``staging/`` unfinished ones, ``claims/``
    the locks of those who write them, ``known/`` the hash cache, ``datasets/`` generated videos.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path or os.environ.get(ENVIRONMENT) or DEFAULT).expanduser()
        if self.path.exists() and not self.path.is_dir():
            raise StructAlignError(f"cache root {self.path} is a file; give a folder")

    def open_for_writing(self) -> None:
        """Make the root if needed. If its group may write to it, so may they to all new files."""
        make_root(self.path)
        open_to_group(self.path)

    def published(self) -> list[Path]:
        """Folders of complete caches, the newest first."""
        folders = [f.parent for f in self.path.glob(f"caches/[!.]*/{COMPLETE}") if is_plain_file(f)]
        return sorted(folders, key=lambda f: (f / COMPLETE).stat().st_mtime_ns, reverse=True)

    def strays(self) -> list[Path]:
        """What lies among the published caches without a plain file of checksums."""
        paths = self.path.glob("caches/[!.]*")
        return sorted(path for path in paths if not is_plain_file(path / COMPLETE))

    def unfinished(self) -> list[Path]:
        """Folders of caches that a process is writing, or was interrupted in writing."""
        return sorted(file.parent for file in self.path.glob(f"{UNFINISHED}/[!.]*/{SPEC}"))

    def folder(self, fingerprint: str) -> Path:
        """The folder of the cache with this fingerprint, whether it exists or not."""
        return self.path / "caches" / fingerprint[:32]

    def is_published(self, fingerprint: str) -> bool:
        """Whether a complete cache with this fingerprint exists."""
        return is_plain_file(self.folder(fingerprint) / COMPLETE)

    def writer(self, name: str) -> CacheWriter:
        """Writes an unfinished cache: a new one, or what an interrupted process left."""
        return CacheWriter(self.path / UNFINISHED / name[:32])

    def lease(self, name: str) -> Lease:
        """The lock of an unfinished cache."""
        return Lease(self.path / LOCKS, name[:32])

    def file_hashes(self, folder: Path) -> FileHashCache:
        """The hash cache of the source files below ``folder``."""
        absolute = folder.resolve()
        name = hashlib.sha256(str(absolute).encode()).hexdigest()[:16]
        return FileHashCache(self.path / HASH_CACHE / f"{name}.json", absolute)

    def backbone_identities(self) -> BackboneIdentities:
        """Identities of backbones that were loaded before."""
        return BackboneIdentities(self.path / HASH_CACHE / "backbones.json")

    def publish(self, writer: CacheWriter, fingerprint: str) -> Path:
        """Publish a finalized cache with one rename, read-only from then on; returns its folder.

        Replaces a cache of this fingerprint. Raises StructAlignError if something else is there.
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
            # Only its owner can delete what another member of the group made: leave it to them.
            with suppress(PermissionError):
                make_writable(left)
                shutil.rmtree(left)
        return target

    def remove(self, folder: Path) -> None:
        """Delete a published cache. Raises StructAlignError if a file there is not part of one."""
        self._check_is_cache(folder)
        make_writable(folder)
        leaving = _leaving(folder)
        os.rename(folder, leaving)
        shutil.rmtree(leaving)

    def _check_is_cache(self, folder: Path) -> None:
        is_folder = folder.is_dir() and not folder.is_symlink()
        names = {path.name for path in folder.iterdir()} if is_folder else set()
        if not {SPEC, TOKENS} <= names:
            raise StructAlignError(f"{folder} is not a cache; nothing was removed")
        if foreign := sorted(names - PUBLISHED - {CATALOG_JSON}):
            raise StructAlignError(
                f"{folder} also holds {', '.join(foreign[:5])}, which is not part of a cache; "
                "nothing was removed"
            )

    def abandon(self, folder: Path) -> None:
        """Delete an unfinished cache. Raises StructAlignError while a process is writing it."""
        lease = self.lease(folder.name)
        if not lease.acquire_unless_held(
            lambda who: log_to_stderr(f"{folder} is held by {who}; waiting for a sign of it")
        ):
            raise StructAlignError(
                f"{lease.holder()} is making {folder}; stop that first, nothing was removed"
            )
        with lease:
            make_writable(folder)
            shutil.rmtree(folder)

    def find(self, reference: str | None) -> FeatureCache:
        """A cache by path or URL, fingerprint (or its beginning), dataset name, or the newest.

        ``NAME@FINGERPRINT`` is one of several of a name. Raises StructAlignError if none fits, or
        several do.
        """
        opened, errors = [], []
        for folder in self._fitting(reference):
            try:
                opened.append(FeatureCache.open(folder))
            except StructAlignError as error:
                errors.append(error)
            if reference is None and opened:
                break
        if len(opened) > 1:
            raise _ambiguous(reference, [Path(cache.path) for cache in opened])
        if not opened:
            raise errors[-1]
        for left_out in errors:  # one damaged cache must not block the others of a shared root
            log_to_stderr(f"left out: {left_out}")
        return opened[0]

    def locate(self, reference: str | None) -> str | Path:
        """Path or URL of the cache that ``reference`` names, be it damaged. Raises as ``find``."""
        fitting = self._fitting(reference)
        if reference is not None and len(fitting) > 1:
            raise _ambiguous(reference, [Path(folder) for folder in fitting])
        return fitting[0]

    def _fitting(self, reference: str | None) -> list[str] | list[Path]:
        """All that fit, the newest first. Raises StructAlignError if none does."""
        if reference and is_url(reference):
            return [reference]
        if reference and (Path(reference) / SPEC).is_file():
            return [Path(reference)]
        folders = self.published()
        if reference is None:
            if not folders:
                raise StructAlignError(
                    f"no complete cache under {self.path}; "
                    "run 'extract' first, or name one with --cache"
                )
            return folders
        if len(reference) >= 4 and (fitting := _beginning(folders, reference)):
            return fitting
        if fitting := [folder for folder in folders if _dataset(folder) == reference]:
            return fitting
        name, at, beginning = reference.rpartition("@")
        named = [folder for folder in folders if at and _dataset(folder) == name]
        if fitting := _beginning(named, beginning):
            return fitting
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
        """The unfinished cache that ``reference`` begins; None if several or a whole one fit."""
        try:
            self.locate(reference)
        except StructAlignError:
            begin = (reference or "")[:32]
            named = [f for f in self.unfinished() if len(begin) >= 4 and f.name.startswith(begin)]
            several = any(folder.name.startswith(begin) for folder in self.published())
            return named[0] if len(named) == 1 and not several else None
        return None


def _leaving(folder: Path) -> Path:
    """The hidden name of a folder until it is deleted."""
    return folder.with_name(f".{folder.name}.{os.getpid()}.leaving")


def _beginning(folders: list[Path], fingerprint: str) -> list[Path]:
    """The caches whose fingerprint begins so."""
    return [folder for folder in folders if folder.name.startswith(fingerprint[:32])]


def _ambiguous(reference: str | None, folders: list[Path]) -> StructAlignError:
    """The error for a reference that several caches fit, newest first."""
    listed = []
    for folder in folders[:SHOWN]:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime((folder / COMPLETE).stat().st_mtime))
        try:
            cache = FeatureCache.describe(folder)
            spec = cache.spec
            cut = f"cut {spec.cut_name}" + ("" if spec.grid is None else f" grid {spec.grid_name}")
            clips = f"{len(cache.catalog)} clips, {cut}, {spec.frames} frames"
        except StructAlignError:
            clips = "damaged"
        listed.append(f"{_dataset(folder)}@{folder.name[:12]} ({made}, {clips})")
    more = f", and {len(folders) - SHOWN} more" if len(folders) > SHOWN else ""
    return StructAlignError(
        f"{len(folders)} caches fit '{reference}'; name one of them: {', '.join(listed)}{more}"
    )


def _dataset(folder: Path) -> str | None:
    try:
        return str(read_json(folder / SPEC)["dataset"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

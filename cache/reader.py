"""A published cache: tokens, a status for each clip, and all that training needs besides."""

import hashlib
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import StructAlignError
from ..core.files import parse_json
from .catalog import Catalog, Clip, Split, content_of
from .catalog_file import LARGE, parse_catalog
from .checksums import DamagedError, parse_checksums
from .layout import (
    CATALOG,
    COMPLETE,
    SOURCES,
    SPEC,
    TIMES,
    TOKEN_CHECKSUMS,
    TOKENS,
    TOKENS_INDEX,
    WEIGHTS,
)
from .spec import CacheSpec
from .store import Remote, Store, open_store
from .times import ClipTimes, TimesTable
from .tokens import ChunkError, TokenReader, View, ViewTable, open_tokens, parse_token_checksums


class FeatureCache:
    """A complete cache, to be read; ``len`` and ``[i]`` go over the clips that have tokens.

    ``catalog`` is what was requested; ``quarantine`` maps the clips without tokens to (reason,
    message), ``video_ends`` those that end after their video to its length in seconds,
    ``checksums`` every file to its sha256.
    """

    def __init__(
        self, store: Store, spec: CacheSpec, catalog: Catalog, complete: dict[str, Any]
    ) -> None:
        self.store, self.spec, self.catalog = store, spec, catalog
        self.path, self.reference = store.path, store.reference
        self.complete = complete  # the content of complete.json
        quarantine = complete["quarantine"].items()
        self.quarantine = {c: (str(row["reason"]), str(row["message"])) for c, row in quarantine}
        self.video_ends: dict[str, float] = complete.get("video_ends", {})
        self.provenance: dict[str, Any] = complete["provenance"]
        self.checksums: dict[str, str] = complete["files"]
        self.fingerprint = spec.fingerprint()
        self.views = ViewTable(catalog, spec.views)

    @classmethod
    def open(cls, path: str | Path) -> "FeatureCache":
        """Open the cache in a folder or at a URL. Raises StructAlignError if it is not whole."""
        cache = cls.describe(path)
        read_checked(cache.store, TOKENS_INDEX, cache.checksums)
        return cache

    @classmethod
    def describe(cls, path: str | Path) -> "FeatureCache":
        """Open a cache whose tokens may be missing. Raises as ``open`` does."""
        store = open_store(path)
        body = store.read(COMPLETE)
        if body is None:
            raise StructAlignError(f"{store.path} is not a complete cache; {store.advice}")
        try:
            complete = parse_checksums(body, store.path)
        except DamagedError:
            # Another schema may have other checksums: then say so.
            CacheSpec.from_json(_json(store.read(SPEC), store.path))
            raise
        checksums = complete["files"]
        read_checked(store, SOURCES, checksums)
        spec = CacheSpec.from_json(_json(read_checked(store, SPEC, checksums), store.path))
        if complete["fingerprint"] != spec.fingerprint():
            raise DamagedError(store.path, "its specification does not give its fingerprint")
        if CATALOG not in checksums:
            raise StructAlignError(
                f"cache {store.path} was made by a version before 0.3, whose caches this version "
                "does not read; remove it ('structalign cache rm') and extract again"
            )
        catalog = parse_catalog(read_checked(store, CATALOG, checksums), store.path, LARGE)
        cache = cls(store, spec, catalog, complete)
        if len(catalog) < LARGE:
            cache.check_catalog()
        if foreign := sorted(clip for clip in cache.quarantine if clip not in catalog):
            raise DamagedError(
                store.path, f"its quarantine names '{foreign[0]}', which is not in its catalog"
            )
        return cache

    def check_catalog(self) -> None:
        """Raise DamagedError unless the catalog is the one that the cache was made with."""
        if self._catalog_hash != self.spec.catalog:
            raise DamagedError(self.path, "its catalog is not the one it was made with")

    @cached_property
    def _catalog_hash(self) -> str:
        return self.catalog.hash()  # a large one's is taken before the first token is read

    @cached_property
    def reader(self) -> TokenReader:
        """The token array. Raises DamagedError."""
        try:
            body = read_checked(self.store, TOKEN_CHECKSUMS, self.checksums)
            checksums = parse_token_checksums(body, len(self.catalog), self.spec.views)
            reader = open_tokens(self.store, self.catalog, self.spec.views, checksums)
        except (OSError, ValueError) as error:
            raise DamagedError(self.path, f"its tokens cannot be opened ({error})") from error
        if reader.array.dtype != np.dtype(self.spec.token_dtype):
            raise DamagedError(self.path, f"its tokens are {reader.array.dtype}")
        return reader

    @cached_property
    def _times(self) -> TimesTable | None:
        if TIMES not in self.checksums:
            return None
        body = read_checked(self.store, TIMES, self.checksums)
        try:
            return TimesTable.parse(body, len(self.catalog), self.spec.frames)
        except ValueError as error:
            raise DamagedError(self.path, str(error)) from error

    def times(self, clip_id: str) -> ClipTimes | None:
        """When a player shows a clip's sampled frames.

        None for a clip without tokens, and in caches of version 0.3. Raises DamagedError.
        """
        return None if self._times is None else self._times.row(self.catalog.index(clip_id))

    @cached_property
    def frozen(self) -> Path:
        """A local folder with the frozen weights after the cut, checksums verified."""
        names = [name for name in WEIGHTS if name in self.checksums]
        bodies = {name: read_checked(self.store, name, self.checksums) for name in names}
        return self.store.as_folder(bodies)

    @property
    def has_tokens(self) -> bool:
        """Whether a token file is there, as far as files can be listed; it may be damaged."""
        names = self.store.names()
        return names is None or any(name.startswith(f"{TOKENS}/c.") for name in names)

    @property
    def bytes(self) -> int:
        """Size of its tokens in bytes."""
        of_view = math.prod(self.reader.shape) * self.reader.array.dtype.itemsize
        missing = sum(self.views.views(clip) for clip in self.quarantine)
        return (len(self.views) - missing) * int(of_view)

    @cached_property
    def sources(self) -> dict[str, str]:
        """Hash of every source file by its path relative to the dataset's root."""
        return _json(self.store.read(SOURCES), self.path)

    def content(self, clip: Clip) -> Hashable:
        """What a clip shows; equal for clips of equal files and times, also of other caches."""
        known = content_of(clip, self.sources, clip.id in self.video_ends)
        return known or (self.fingerprint, clip.id)

    def shown_in(self, others: "Iterable[tuple[FeatureCache, Iterable[str]]]") -> frozenset[str]:
        """The clips that show what one of some clips of other caches shows; all have tokens."""
        had = {
            cache.content(cache.catalog[clip])
            for cache, clips in others
            for clip in clips
            if clip not in cache.quarantine
        }
        mine = self.available(list(self.catalog))
        return frozenset(clip.id for clip in mine if self.content(clip) in had)

    @property
    def video_root(self) -> Path | None:
        """The folder its videos were extracted from here; another machine's word is not taken."""
        root = self.provenance.get("root")
        came_from_elsewhere = "imported_from" in self.provenance or isinstance(self.store, Remote)
        return Path(root) if isinstance(root, str) and root and not came_from_elsewhere else None

    def quarantined(self) -> list[dict[str, str]]:
        """One entry for each clip without tokens: clip, reason, path, message."""
        return [
            {"clip": clip, "reason": reason, "path": self.catalog[clip].path, "message": message}
            for clip, (reason, message) in self.quarantine.items()
        ]

    def available(self, clips: Sequence[Clip]) -> list[Clip]:
        """Those of ``clips`` that have tokens, in order."""
        return [clip for clip in clips if clip.id not in self.quarantine]

    def published_views(self) -> list[View]:
        """Every (clip, view) that has tokens, in catalog order."""
        clips = self.available(list(self.catalog))
        return [(clip.id, view) for clip in clips for view in range(self.views.views(clip.id))]

    def __len__(self) -> int:
        return len(self.catalog) - len(self.quarantine)

    def __getitem__(self, index: int) -> tuple[Clip, NDArray[np.float16]]:
        """Clip ``index`` of those that have tokens, and its tokens of view 0."""
        clip = self._available[index]
        return clip, self.tokens([clip.id])[0]

    @cached_property
    def _available(self) -> list[Clip]:
        return self.available(list(self.catalog))

    def dataset(
        self, split: Split = "train", view: int = 0, categories: Sequence[str] | None = None
    ) -> "CaptionDataset":
        """A PyTorch data set of (tokens, caption, category), one row per caption.

        Test clips have only view 0. ``categories``: only these, in this order; all by default.
        """
        names = self.catalog.categories if categories is None else tuple(categories)
        clips = self.available(self.catalog.select(split, names))
        return CaptionDataset(self, view, [(c, text) for c in clips for text in c.captions])

    def tokens(self, clip_ids: Sequence[str], view: int = 0) -> NDArray[np.float16]:
        """Tokens of some clips: float16 [clips, frames, tokens, width].

        Raises StructAlignError for an unknown or quarantined clip, a view that it does not have,
        or a chunk that is damaged or missing.
        """
        return self.read([(clip, view) for clip in clip_ids])

    def all_views(self, clip_ids: Sequence[str]) -> NDArray[np.float16]:
        """Every view of training clips: float16 [views, clips, frames, tokens, width]."""
        tokens = self.read([(c, view) for view in range(self.spec.views) for c in clip_ids])
        return tokens.reshape(self.spec.views, len(clip_ids), *tokens.shape[1:])

    def check_same_tokens(self, other: "FeatureCache") -> None:
        """Raise StructAlignError unless tokens of ``other`` mean the same as this cache's."""
        spec, theirs = self.spec, other.spec.meaning_of_tokens()
        for name, here in spec.meaning_of_tokens().items():
            if theirs[name] != here:
                grid = "" if spec.grid is None else f" --grid {spec.grid_name}"
                raise StructAlignError(
                    f"cache {other.fingerprint[:12]} was made with another {name} than the run's "
                    f"({theirs[name]!r}, not {here!r}); extract with --backbone {spec.backbone} "
                    f"--cut {spec.cut_name}{grid} and the run's weights"
                )

    def read(self, wanted: Sequence[View]) -> NDArray[np.float16]:
        """Some (clip, view): float16 [wanted, frames, tokens, width]. Raises as ``tokens``."""
        self.check_catalog()
        for clip, _ in wanted:
            if clip in self.quarantine:
                reason, message = self.quarantine[clip]
                raise StructAlignError(f"clip '{clip}' has no tokens: {reason}, {message}")
        try:
            return self.reader.read([self.views.check(view) for view in wanted])
        except ChunkError as error:
            clip, view = error.view
            what = "missing" if error.missing else "not as written"
            raise StructAlignError(
                f"cache {self.path} is damaged: tokens of clip '{clip}', view {view}, are {what}; "
                "'cache verify' lists all"
            ) from error


@dataclass(frozen=True)
class CaptionDataset:
    """Rows (tokens float16 [frames, tokens, width], caption, category) for a DataLoader."""

    cache: FeatureCache
    view: int
    rows: list[tuple[Clip, str]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float16], str, str]:
        clip, caption = self.rows[index]
        return self.cache.tokens([clip.id], self.view)[0], caption, clip.category


def read_checked(store: Store, name: str, checksums: dict[str, str]) -> bytes:
    """A file's bytes. Raises DamagedError if it is missing or its sha256 is another."""
    body = store.read(name)
    if body is None:
        raise DamagedError(store.path, f"{name} is missing")
    if hashlib.sha256(body).hexdigest() != checksums.get(name):
        raise DamagedError(store.path, f"{name} is not as it was written")
    return body


def _json(body: bytes | None, where: Path) -> dict[str, Any]:
    try:
        return dict(parse_json((body or b"").decode("utf-8")))
    except (ValueError, TypeError) as error:
        raise DamagedError(where, str(error)) from error

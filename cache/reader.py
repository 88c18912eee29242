"""A published cache: tokens, a status for each clip, and all that training needs beside them."""

import hashlib
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import StructAlignError
from ..core.files import parse_json, read_bytes
from .catalog import Catalog, Clip, Split
from .catalog_file import ARROW, JSON, LARGE, parse_catalog
from .checksums import MANIFEST, read_manifest
from .spec import CacheSpec
from .token_checksums import FILE as CHECKSUMS
from .token_checksums import Checksums, parse_checksums
from .tokens import ChunkError, TokenReader, View, ViewTable, is_remote, open_tokens

FROZEN_FILES = ("backbone.json", "frozen.safetensors", "weights.json", "bpe.txt.gz")
# Resolved by name when a new video is encoded: this room must not import extraction.


class FeatureCache:
    """Read access to a complete cache, in a folder or at a URL.

    ``catalog`` is what was asked for; ``quarantine`` maps the clips without tokens to (reason,
    message), ``video_ends`` those that end after their video to its length in seconds. ``len`` and
    ``[i]`` go over the clips that have tokens, in catalog order.
    """

    def __init__(
        self, path: Path, spec: CacheSpec, catalog: Catalog, manifest: dict[str, Any]
    ) -> None:
        self.path = path
        self.spec = spec
        self.catalog = catalog
        self.manifest = manifest
        quarantine = manifest["quarantine"].items()
        self.quarantine = {c: (str(row["reason"]), str(row["message"])) for c, row in quarantine}
        self.video_ends: dict[str, float] = manifest.get("video_ends", {})
        self.provenance: dict[str, Any] = manifest["provenance"]
        self.fingerprint = spec.fingerprint()
        self.views = ViewTable(catalog, spec.views)

    @classmethod
    def open(cls, path: str | Path) -> "FeatureCache":
        """Open the cache in folder ``path``, or at a URL.

        Raises:
            StructAlignError: not a cache, incomplete, of another schema, or damaged.
        """
        cache = cls.describe(path)
        _checked(cache.path, "tokens/zarr.json", cache.manifest)
        return cache

    @classmethod
    def describe(cls, path: str | Path) -> "FeatureCache":
        """Everything but the tokens, which may not be there. Raises as ``open`` does."""
        folder = _location(path)
        text = _read(folder, MANIFEST)
        if text is None and is_remote(folder):
            raise StructAlignError(
                f"no complete cache can be read at {folder}; "
                "check the address, the server and your rights"
            )
        if text is None:
            raise StructAlignError(
                f"{folder} is not a complete cache; run extract, or name another with --cache"
            )
        try:
            manifest = read_manifest(text, str(folder))
        except StructAlignError:
            # Another schema may have another manifest: then say so.
            CacheSpec.from_json(_json(_read(folder, "spec.json"), folder))
            raise
        for name in ("spec.json", "sources.json"):
            _checked(folder, name, manifest)
        spec = CacheSpec.from_json(_json(_read(folder, "spec.json"), folder))
        if manifest["fingerprint"] != spec.fingerprint():
            raise _damaged(folder, "its specification does not give its fingerprint")
        name = ARROW if ARROW in manifest["files"] else JSON
        catalog = parse_catalog(name, _checked(folder, name, manifest), folder, LARGE)
        cache = cls(folder, spec, catalog, manifest)
        if len(catalog) < LARGE:
            cache.check_catalog()
        if foreign := sorted(clip for clip in cache.quarantine if clip not in catalog):
            raise _damaged(folder, f"its quarantine names '{foreign[0]}', which is no clip of it")
        return cache

    def check_catalog(self) -> None:
        """Check the catalog against the fingerprint; a large one before the first token is read.

        Raises:
            StructAlignError: it is another catalog than the cache was made with.
        """
        if self._catalog_hash != self.spec.catalog:
            raise _damaged(self.path, "its catalog is not the one it was made with")

    @cached_property
    def _catalog_hash(self) -> str:
        return self.catalog.hash()

    @cached_property
    def reader(self) -> TokenReader:
        """The token array."""
        try:
            reader = open_tokens(self.path, self.catalog, self.spec.views, self._checksums)
        except (OSError, ValueError) as error:
            raise _damaged(self.path, f"its tokens cannot be opened ({error})") from error
        if reader.array.dtype != np.dtype(self.spec.token_dtype):
            raise _damaged(self.path, f"its tokens are {reader.array.dtype}")
        return reader

    @property
    def _checksums(self) -> Checksums | None:
        """Of every chunk of tokens. Raises ValueError; None in older versions' caches."""
        if CHECKSUMS not in self.manifest["files"]:
            return None
        body = _checked(self.path, CHECKSUMS, self.manifest)
        return parse_checksums(body, len(self.catalog), self.spec.views)

    @cached_property
    def frozen(self) -> Path:
        """A local folder with the frozen weights after the cut, checksums verified."""
        names = [name for name in FROZEN_FILES if name in self.manifest["files"]]
        bodies = {name: _checked(self.path, name, self.manifest) for name in names}
        if not is_remote(self.path):
            return self.path
        self._fetched = tempfile.TemporaryDirectory(prefix="structalign-")
        for name, body in bodies.items():
            (Path(self._fetched.name) / name).write_bytes(body)
        return Path(self._fetched.name)

    @property
    def has_tokens(self) -> bool:
        """Whether its token files are there; whether they are whole is known when they are read."""
        return is_remote(self.path) or next(self.path.glob("tokens/c.*"), None) is not None

    @property
    def reference(self) -> str:
        """What another process opens it by: its absolute path, or its URL."""
        return str(self.path) if is_remote(self.path) else str(self.path.resolve())

    @property
    def bytes(self) -> int:
        """Size of its tokens."""
        of_view = math.prod(self.reader.shape) * self.reader.array.dtype.itemsize
        missing = sum(self.views.views(clip) for clip in self.quarantine)
        return (len(self.views) - missing) * int(of_view)

    @property
    def sources(self) -> dict[str, str]:
        """Hash of every source file by its path relative to the dataset's root."""
        return dict(_json(_read(self.path, "sources.json"), self.path))

    def quarantined(self) -> list[dict[str, str]]:
        """The clips without tokens, one entry each: clip, reason, path, message."""
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
        """A PyTorch data set of (tokens, caption, category) for a ``DataLoader``, a row a caption.

        Args:
            split: ``train`` or ``test``.
            view: which view of the clips; test clips have view 0 alone.
            categories: only these, in this order. All by default.
        """
        names = self.catalog.categories if categories is None else tuple(categories)
        clips = self.available(self.catalog.select(split, names))
        return CaptionDataset(self, view, [(c, text) for c in clips for text in c.captions])

    def tokens(self, clip_ids: Sequence[str], view: int = 0) -> NDArray[np.float16]:
        """Tokens of some clips: float16 [clips, frames, 1 + patches, width].

        Raises:
            StructAlignError: an unknown or quarantined clip, a view it does not have, or a chunk
                that is damaged or missing.
        """
        return self.read([(clip, view) for clip in clip_ids])

    def all_views(self, clip_ids: Sequence[str]) -> NDArray[np.float16]:
        """Every view of training clips: float16 [views, clips, frames, 1 + patches, width]."""
        tokens = self.read([(c, view) for view in range(self.spec.views) for c in clip_ids])
        return tokens.reshape(self.spec.views, len(clip_ids), *tokens.shape[1:])

    def check_same_tokens(self, other: "FeatureCache") -> None:
        """Raise StructAlignError unless tokens of ``other`` mean the same as this cache's."""
        for name in ("backbone", "weights", "cut", "preprocessing"):
            there, here = getattr(other.spec, name), getattr(self.spec, name)
            if there != here:
                raise StructAlignError(
                    f"cache {other.fingerprint[:12]} was made with another {name} than the run's "
                    f"({there!r}, not {here!r}); extract with --backbone {self.spec.backbone} "
                    f"--cut {self.spec.cut} and the run's weights"
                )

    def read(self, wanted: Sequence[View]) -> NDArray[np.float16]:
        """Some (clip, view): float16 [wanted, frames, 1 + patches, width]. Raises as ``tokens``."""
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
        except (ValueError, OSError, RuntimeError) as error:
            if not is_remote(self.path):
                raise
            raise StructAlignError(
                f"cache {self.path} is damaged ({error}); 'cache verify' names the clips"
            ) from error


@dataclass(frozen=True)
class CaptionDataset:
    """Rows (tokens float16 [frames, 1 + patches, width], caption, category) for a DataLoader."""

    cache: FeatureCache
    view: int
    rows: list[tuple[Clip, str]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float16], str, str]:
        clip, caption = self.rows[index]
        return self.cache.tokens([clip.id], self.view)[0], caption, clip.category


def _damaged(folder: Path, what: str) -> StructAlignError:
    return StructAlignError(f"cache {folder} is damaged: {what}; extract it again")


def _location(path: str | Path) -> Path:
    if not is_remote(path):
        return Path(path)
    try:
        from upath import UPath
    except ImportError as error:
        raise StructAlignError(
            f"reading {path} needs the extra 'remote': pip install 'structalign[remote]'"
        ) from error
    return UPath(str(path))


def _read_bytes(folder: Path, name: str) -> bytes | None:
    try:
        path = folder / name
        return path.read_bytes() if is_remote(folder) else read_bytes(path)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise StructAlignError(
            f"cannot read {folder / name}: {type(error).__name__}: {error}"
        ) from error


def _read(folder: Path, name: str) -> str | None:
    body = _read_bytes(folder, name)
    try:
        return None if body is None else body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(folder, f"{name} is not text") from error


def _json(text: str | None, folder: Path) -> dict[str, Any]:
    try:
        return dict(parse_json(text or ""))
    except (ValueError, TypeError) as error:
        raise StructAlignError(f"cache {folder} is damaged ({error}); extract it again") from error


def _checked(folder: Path, name: str, manifest: dict[str, Any]) -> bytes:
    """A file's bytes, checksum verified."""
    body = _read_bytes(folder, name)
    if body is None:
        raise _damaged(folder, f"{name} is missing")
    if hashlib.sha256(body).hexdigest() != manifest["files"].get(name):
        raise _damaged(folder, f"{name} is not as it was written")
    return body

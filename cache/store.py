"""A published cache: tokens in Zarr, a status for each clip, and all that training needs beside them; in a folder or behind a URL."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cache import seal
from cache.catalog import Catalog, Clip
from cache.chunks import ChunkError, read_chunks
from cache.errors import StructAlignError
from cache.rows import RowTable
from cache.spec import CacheSpec

FROZEN_FILES = ("backbone.json", "frozen.safetensors", "bpe.txt.gz")


def is_remote(reference: str | Path) -> bool:
    """Whether a cache is named by a URL (s3://, http://, https:// and what fsspec knows) instead of a folder."""
    return "://" in str(reference)


class FeatureCache:
    """Read access to a complete cache.

    ``catalog`` is what was asked for; ``quarantine`` maps the clips without tokens to (reason, message).
    """

    def __init__(self, path: Path, spec: CacheSpec, catalog: Catalog, sealed: dict[str, Any]) -> None:
        self.path = path
        self.spec = spec
        self.catalog = catalog
        self.sealed = sealed
        self.quarantine = {clip: (str(row["reason"]), str(row["message"])) for clip, row in sealed["quarantine"].items()}
        self.provenance: dict[str, Any] = sealed["provenance"]
        self.fingerprint = spec.fingerprint()
        self.rows = RowTable(catalog, spec.views)

    @classmethod
    def open(cls, path: str | Path) -> "FeatureCache":
        """Open the cache in folder ``path``, or at a URL.

        Raises:
            StructAlignError: not a cache, not complete, of another schema, damaged, or not what its name says.
        """
        cache = cls.describe(path)
        _checked(cache.path, "tokens/zarr.json", cache.sealed)
        return cache

    @classmethod
    def describe(cls, path: str | Path) -> "FeatureCache":
        """Everything but the tokens, which may not be there. Raises as ``open`` does."""
        folder = _location(path)
        text = _read(folder, seal.NAME)
        if text is None and is_remote(folder):
            raise StructAlignError(f"no complete cache can be read at {folder}; check the address, the server and your rights")
        if text is None:
            raise StructAlignError(f"{folder} is not a complete cache; run extract, or name another with --cache")
        try:
            sealed = seal.read_sealed(text, str(folder))
        except StructAlignError:
            CacheSpec.from_json(_json(_read(folder, "spec.json"), folder))  # another schema may be sealed otherwise: then say so
            raise
        for name in ("spec.json", "catalog.json", "sources.json"):
            _checked(folder, name, sealed)
        spec = CacheSpec.from_json(_json(_read(folder, "spec.json"), folder))
        if sealed["fingerprint"] != spec.fingerprint():
            raise StructAlignError(f"cache {folder} is damaged: its specification does not give its fingerprint; extract it again")
        catalog = Catalog.parse(_read(folder, "catalog.json") or "", f"{folder}/catalog.json")
        if catalog.hash() != spec.catalog:
            raise StructAlignError(f"cache {folder} is damaged: its catalog is not the one it was made with; extract it again")
        return cls(folder, spec, catalog, sealed)

    @cached_property
    def array(self) -> zarr.Array[Any]:
        """The token array: float16 [rows, frames, 1 + patches, width]."""
        try:
            array = zarr.open_array(_zarr_store(self.path), mode="r")
        except (OSError, ValueError) as error:
            raise StructAlignError(f"cache {self.path} is damaged: its tokens cannot be opened ({error}); extract it again") from error
        if array.shape[0] != len(self.rows) or array.dtype != np.dtype(self.spec.token_dtype):
            raise StructAlignError(f"cache {self.path} is damaged: its tokens are {array.shape} {array.dtype}; extract it again")
        return array

    @cached_property
    def frozen(self) -> Path:
        """A local folder with the frozen weights after the cut, their checksums proven; fetched first where the cache is remote."""
        names = [name for name in FROZEN_FILES if name in self.sealed["files"]]
        bodies = {name: _checked(self.path, name, self.sealed) for name in names}
        if isinstance(self.path, Path) and not is_remote(self.path):
            return self.path
        self._fetched = tempfile.TemporaryDirectory(prefix="structalign-")
        for name, body in bodies.items():
            (Path(self._fetched.name) / name).write_bytes(body)
        return Path(self._fetched.name)

    @property
    def reference(self) -> str:
        """What another process opens it by: its absolute path, or its URL."""
        return str(self.path) if is_remote(self.path) else str(self.path.resolve())

    @property
    def bytes(self) -> int:
        """Size of its tokens."""
        return int(self.array.nbytes)

    @property
    def sources(self) -> dict[str, str]:
        """Hash of every source file by its path relative to the dataset's root."""
        return dict(_json(_read(self.path, "sources.json"), self.path))

    def quarantined(self) -> list[dict[str, str]]:
        """The clips without tokens, one entry each: clip, reason, path, message."""
        bad = self.quarantine.items()
        return [{"clip": clip, "reason": reason, "path": self.catalog[clip].path, "message": message} for clip, (reason, message) in bad]

    def ok(self, clips: Sequence[Clip]) -> list[Clip]:
        """Those of ``clips`` that have tokens, in order."""
        return [clip for clip in clips if clip.id not in self.quarantine]

    def tokens(self, clip_ids: Sequence[str], view: int = 0) -> NDArray[np.float16]:
        """Tokens of some clips: float16 [clips, frames, 1 + patches, width].

        Raises:
            StructAlignError: an unknown or quarantined clip, a view it does not have, or a chunk that is damaged or missing.
        """
        return self._read([(clip, view) for clip in clip_ids])

    def all_views(self, clip_ids: Sequence[str]) -> NDArray[np.float16]:
        """Every view of some training clips: float16 [views, clips, frames, 1 + patches, width]. Raises as ``tokens`` does."""
        tokens = self._read([(clip, view) for view in range(self.spec.views) for clip in clip_ids])
        return tokens.reshape(self.spec.views, len(clip_ids), *tokens.shape[1:])

    def _read(self, wanted: Sequence[tuple[str, int]]) -> NDArray[np.float16]:
        for clip, _ in wanted:
            if clip in self.quarantine:
                raise StructAlignError(f"clip '{clip}' has no tokens: {self.quarantine[clip][0]}, {self.quarantine[clip][1]}")
        rows = [self.rows.row(clip, view) for clip, view in wanted]
        if is_remote(self.path):
            return self._fetch(wanted, rows)
        try:
            return read_chunks(self.path / "tokens", rows, self.array.shape[1:], self.spec.token_dtype)
        except ChunkError as error:
            clip, view = wanted[rows.index(error.row)]
            what = "missing" if error.missing else "not as written"
            raise StructAlignError(
                f"cache {self.path} is damaged: tokens of clip '{clip}', view {view}, are {what}; 'cache verify' lists all"
            ) from error

    def _fetch(self, wanted: Sequence[tuple[str, int]], rows: list[int]) -> NDArray[np.float16]:
        """The same from a URL, by Zarr."""
        if not rows:
            return np.empty((0, *self.array.shape[1:]), np.float16)
        try:
            tokens = np.asarray(self.array.oindex[np.asarray(rows)])
        except (ValueError, OSError, RuntimeError) as error:
            raise StructAlignError(f"cache {self.path} is damaged ({error}); 'cache verify' names the clips") from error
        missing = np.isnan(tokens[:, 0, 0, 0])  # Zarr fills a chunk that is not there with NaN, and none that was published has one
        if missing.any():
            clip, view = wanted[int(np.argmax(missing))]
            raise StructAlignError(f"cache {self.path} is damaged: tokens of clip '{clip}', view {view}, are missing; extract it again")
        return tokens


def _location(path: str | Path) -> Path:
    if not is_remote(path):
        return Path(path)
    try:
        from upath import UPath
    except ImportError as error:
        raise StructAlignError(f"reading {path} needs the extra 'remote': pip install 'structalign[remote]'") from error
    return UPath(str(path))


def _zarr_store(folder: Path) -> Any:
    if not is_remote(folder):
        return folder / "tokens"
    return zarr.storage.FsspecStore.from_url(str(folder / "tokens"), read_only=True)


def _read_bytes(folder: Path, name: str) -> bytes | None:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    except Exception as error:
        if isinstance(error, OSError) and not is_remote(folder):
            raise
        raise StructAlignError(f"cannot read {folder / name}: {type(error).__name__}: {error}") from error


def _read(folder: Path, name: str) -> str | None:
    body = _read_bytes(folder, name)
    try:
        return None if body is None else body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StructAlignError(f"cache {folder} is damaged: {name} is not text; extract it again") from error


def _json(text: str | None, folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(text or ""))
    except (ValueError, TypeError) as error:
        raise StructAlignError(f"cache {folder} is damaged ({error}); extract it again") from error


def _checked(folder: Path, name: str, sealed: dict[str, Any]) -> bytes:
    """A file's bytes, their checksum proven."""
    body = _read_bytes(folder, name)
    if body is None or hashlib.sha256(body).hexdigest() != sealed["files"].get(name):
        raise StructAlignError(f"cache {folder} is damaged: {name} is {'missing' if body is None else 'not as it was written'}; extract it again")
    return body

"""A published cache: a folder with tokens in Zarr, a status for each clip, and all that training needs beside them."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cache.catalog import Catalog, Clip
from cache.errors import StructAlignError
from cache.rows import RowTable
from cache.spec import CacheSpec


class FeatureCache:
    """Read access to a complete cache.

    ``catalog`` is what was asked for; ``quarantine`` maps the clips without tokens to (reason, message).
    """

    def __init__(self, path: Path, spec: CacheSpec, catalog: Catalog, quarantine: dict[str, tuple[str, str]], provenance: dict[str, Any]) -> None:
        self.path = path
        self.spec = spec
        self.catalog = catalog
        self.quarantine = quarantine
        self.provenance = provenance
        self.fingerprint = spec.fingerprint()
        self.rows = RowTable(catalog, spec.views)

    @classmethod
    def open(cls, path: str | Path) -> "FeatureCache":
        """Open the cache in folder ``path``.

        Raises:
            StructAlignError: not a cache, not complete, of another schema, or not what its name says.
        """
        folder = Path(path)
        if not (folder / "complete.json").is_file():
            raise StructAlignError(f"{folder} is not a complete cache; run extract, or name another with --cache")
        try:
            spec = CacheSpec.from_json(json.loads((folder / "spec.json").read_text()))
            complete = json.loads((folder / "complete.json").read_text())
            quarantine = {clip: (row["reason"], row["message"]) for clip, row in complete["quarantine"].items()}
            provenance, fingerprint = complete["provenance"], complete["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StructAlignError(f"cache {folder} is damaged ({error}); extract it again") from error
        if fingerprint != spec.fingerprint():
            raise StructAlignError(f"cache {folder} is damaged: its specification does not give its fingerprint; extract it again")
        catalog = Catalog.load(folder / "catalog.json")
        if catalog.hash() != spec.catalog:
            raise StructAlignError(f"cache {folder} is damaged: its catalog is not the one it was made with; extract it again")
        return cls(folder, spec, catalog, quarantine, provenance)

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        array = zarr.open_array(self.path / "tokens", mode="r")
        if array.shape[0] != len(self.rows) or array.dtype != np.dtype(self.spec.token_dtype):
            raise StructAlignError(f"cache {self.path} is damaged: its tokens are {array.shape} {array.dtype}; extract it again")
        return array

    def ok(self, clips: Sequence[Clip]) -> list[Clip]:
        """Those of ``clips`` that have tokens, in order."""
        return [clip for clip in clips if clip.id not in self.quarantine]

    def tokens(self, clip_ids: Sequence[str], view: int = 0) -> NDArray[np.float16]:
        """Tokens of some clips: float16 [clips, frames, 1 + patches, width].

        Raises:
            StructAlignError: an unknown or quarantined clip, a view it does not have, or a chunk that is damaged or missing.
        """
        for clip in clip_ids:
            if clip in self.quarantine:
                raise StructAlignError(f"clip '{clip}' has no tokens: {self.quarantine[clip][0]}, {self.quarantine[clip][1]}")
        rows = [self.rows.row(clip, view) for clip in clip_ids]
        if not rows:
            return np.empty((0, *self._array.shape[1:]), np.float16)
        try:
            tokens = np.asarray(self._array.oindex[np.asarray(rows)])
        except (ValueError, OSError, RuntimeError) as error:
            raise StructAlignError(f"cache {self.path} is damaged ({error}); 'cache verify' names the clips") from error
        finite = np.isfinite(tokens).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            clip = clip_ids[int(np.argmin(finite))]
            raise StructAlignError(f"cache {self.path}: tokens of clip '{clip}', view {view}, are missing or not finite; extract again")
        return tokens

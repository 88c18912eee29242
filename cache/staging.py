"""A cache in the making: units of clips are written and receipted one by one, then the whole is sealed."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec

from cache import seal
from cache.catalog import Catalog
from cache.chunks import ChunkError, read_chunks
from cache.errors import StructAlignError
from cache.files import sha256_of, share_mode, write_text
from cache.finite import all_finite
from cache.rows import RowTable
from cache.sharing import make_writable
from cache.spec import CacheSpec

CACHE_FILES = {seal.NAME, "spec.json", "catalog.json", "sources.json", "backbone.json", "frozen.safetensors", "bpe.txt.gz", "tokens"}


@dataclass(frozen=True)
class ClipOutcome:
    """How one clip ended: ``reason`` is None when its tokens were written, else one of the quarantine reasons."""

    clip: str
    reason: str | None = None
    message: str = ""


class StagedCache:
    """A folder on its way to becoming a cache. Several processes may open the same one and write different units."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(
        self, spec: CacheSpec, catalog: Catalog, sources: dict[str, str], token_shape: tuple[int, int], save_frozen: Callable[[Path], None]
    ) -> None:
        """Lay out the folder; what an interrupted extraction left is kept.

        Args:
            sources: hash of every source file by its path.
            token_shape: (1 + patches, width).
            save_frozen: writes the frozen weights after the cut into a folder.
        """
        if (self.path / "prepared").is_file():
            return
        (self.path / "receipts").mkdir(parents=True, exist_ok=True)
        write_text(self.path / "spec.json", json.dumps(asdict(spec), indent=1, sort_keys=True) + "\n")
        write_text(self.path / "sources.json", json.dumps(sources, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        catalog.save(self.path / "catalog.json")
        save_frozen(self.path)
        create_tokens(self.path, catalog, spec, token_shape)
        write_text(self.path / "prepared", "")

    def make_empty(self) -> None:
        """An empty folder, whatever was there."""
        self.discard()
        self.path.mkdir(parents=True)

    def discard(self) -> None:
        """Remove all of it, if it is still here, read-only or not: something may have ended its publishing."""
        if self.path.is_dir():
            make_writable(self.path)
        shutil.rmtree(self.path, ignore_errors=True)

    def open_tokens(self) -> zarr.Array[Any]:
        """The token array, for writing."""
        return zarr.open_array(self.path / "tokens", mode="r+", config={"write_empty_chunks": True})

    def receipt(self, unit: int) -> list[ClipOutcome] | None:
        """The outcomes of a finished unit, None while it is not finished."""
        try:
            return [ClipOutcome(**row) for row in json.loads(self._receipt(unit).read_text())]
        except FileNotFoundError:
            return None

    def write_receipt(self, unit: int, outcomes: list[ClipOutcome]) -> None:
        """Declare a unit finished; its tokens must have been written."""
        write_text(self._receipt(unit), json.dumps([asdict(outcome) for outcome in outcomes]))

    def link_tokens(self, published: Path) -> None:
        """Take over the token chunks of a published cache without copying them; its files are never written to, only replaced."""
        for chunk in (published / "tokens").glob("c.*"):
            target = self.path / "tokens" / chunk.name
            try:
                os.link(chunk, target)
            except FileExistsError:
                continue
            except OSError:  # a file system without links
                shutil.copyfile(chunk, target)

    def seal(self, spec: CacheSpec, outcomes: list[ClipOutcome], provenance: dict[str, Any]) -> None:
        """Read every chunk back, remove what does not belong, and write the file that makes the folder a complete cache.

        Raises:
            StructAlignError: a chunk does not read back.
        """
        catalog = Catalog.load(self.path / "catalog.json")
        rows, array = RowTable(catalog, spec.views), self.open_tokens()
        wanted = [(o.clip, rows.row(o.clip, view)) for o in outcomes if o.reason is None for view in range(rows.views(o.clip))]
        if lost := {clip for clip, row in wanted if not self._reads(array, row)}:
            self._forget(lost)
            raise StructAlignError(f"{self.path}: the tokens of {len(lost)} clips did not reach the disk; run extract again, only they are redone")
        chunks = {f"c.{row}.0.0.0" for _, row in wanted}
        for file in (self.path / "tokens").iterdir():
            if file.name not in chunks and file.name != "zarr.json":
                file.unlink()
        names = sorted(name for name in (*CACHE_FILES, "tokens/zarr.json") if name != seal.NAME and (self.path / name).is_file())
        body = {
            "fingerprint": spec.fingerprint(),
            "quarantine": {o.clip: {"reason": o.reason, "message": o.message} for o in outcomes if o.reason is not None},
            "provenance": provenance,
            "files": {name: sha256_of(self.path / name) for name in names},
        }
        write_text(self.path / seal.NAME, seal.sealed_text(body))

    @property
    def sealed(self) -> bool:
        """Whether it is complete and only has to be published."""
        return (self.path / seal.NAME).is_file()

    def strip(self) -> None:
        """Remove what was needed in the making alone."""
        for path in self.path.iterdir():
            if path.name not in CACHE_FILES:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _forget(self, clips: set[str]) -> None:
        for file in (self.path / "receipts").glob("[0-9]*.json"):
            kept = [row for row in json.loads(file.read_text()) if row["clip"] not in clips]
            write_text(file, json.dumps(kept))

    def _reads(self, array: zarr.Array[Any], row: int) -> bool:
        try:
            return all_finite(read_chunks(self.path / "tokens", [row], array.shape[1:], str(array.dtype)))
        except (ChunkError, OSError):
            return False

    def _receipt(self, unit: int) -> Path:
        return self.path / "receipts" / f"{unit:06d}.json"


def create_tokens(folder: Path, catalog: Catalog, spec: CacheSpec, token_shape: tuple[int, int]) -> None:
    """An empty token array under ``folder``: float16 [rows, frames, 1 + patches, width], a chunk a (clip, view), each with its checksum."""
    shape = (len(RowTable(catalog, spec.views)), spec.frames, *token_shape)
    zarr.create_array(
        folder / "tokens",
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=spec.token_dtype,
        serializer=BytesCodec(),
        compressors=Crc32cCodec(),
        fill_value=float("nan"),  # a chunk that is missing reads as NaN, which is refused
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
        overwrite=True,
    )
    share_mode(folder / "tokens" / "zarr.json")


def write_tokens(array: zarr.Array[Any], row: int, tokens: NDArray[np.float16]) -> None:
    """Write one (clip, view): float16 [frames, 1 + patches, width], one chunk."""
    array[row] = tokens

"""A cache in the making: units of clips are written and receipted one by one, then the whole is sealed."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec

from cache.catalog import Catalog
from cache.errors import StructAlignError
from cache.rows import RowTable
from cache.spec import CacheSpec


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

    def prepare(self, spec: CacheSpec, catalog: Catalog, token_shape: tuple[int, int], save_frozen: Callable[[Path], None]) -> None:
        """Lay out the folder; what an interrupted extraction left is kept.

        ``token_shape`` is (1 + patches, width); ``save_frozen`` writes the frozen weights after the cut into a folder.
        """
        if (self.path / "prepared").is_file():
            return
        (self.path / "receipts").mkdir(parents=True, exist_ok=True)
        write_text(self.path / "spec.json", json.dumps(asdict(spec), indent=1, sort_keys=True) + "\n")
        catalog.save(self.path / "catalog.json")
        save_frozen(self.path)
        shape = (len(RowTable(catalog, spec.views)), spec.frames, *token_shape)
        zarr.create_array(
            self.path / "tokens",
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
        write_text(self.path / "prepared", "")

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

    def forget(self, unit: int) -> None:
        """Have a unit done again."""
        self._receipt(unit).unlink(missing_ok=True)

    def seal(self, spec: CacheSpec, outcomes: list[ClipOutcome], provenance: dict[str, Any]) -> None:
        """Read every chunk back and write the file that makes the folder a complete cache."""
        catalog = Catalog.load(self.path / "catalog.json")
        rows, array = RowTable(catalog, spec.views), self.open_tokens()
        for outcome in outcomes:
            if outcome.reason is None:
                for view in range(rows.views(outcome.clip)):
                    read = np.asarray(array[rows.row(outcome.clip, view)])
                    if not np.isfinite(read).all():
                        raise StructAlignError(f"{self.path}: clip '{outcome.clip}', view {view}, did not reach the disk; run extract again")
        quarantine = {o.clip: {"reason": o.reason, "message": o.message} for o in outcomes if o.reason is not None}
        body = {"fingerprint": spec.fingerprint(), "quarantine": quarantine, "provenance": provenance}
        write_text(self.path / "complete.json", json.dumps(body, indent=1) + "\n")

    def _receipt(self, unit: int) -> Path:
        return self.path / "receipts" / f"{unit:06d}.json"


def write_tokens(array: zarr.Array[Any], row: int, tokens: NDArray[np.float16]) -> None:
    """Write one (clip, view): float16 [frames, 1 + patches, width], one chunk."""
    array[row] = tokens


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)

"""The catalog's file: Arrow columns in a cache's folder, JSON in a bundle."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ..core.errors import StructAlignError
from ..core.files import parse_json, read_bytes, write_bytes
from .catalog import Catalog, Clip, Split
from .layout import CATALOG, CATALOG_JSON

LARGE = 100_000  # clips: building so many takes a second
ROWS = 8192  # clips in a record batch
TEXT = pa.string()
REQUIRED = {
    **dict.fromkeys(("id", "path", "category", "split"), TEXT),
    "captions": pa.list_(pa.field("caption", TEXT, nullable=False)),
}
OPTIONAL = {"start": pa.float64(), "end": pa.float64(), "extra": TEXT}  # extra is JSON
SCHEMA = pa.schema(
    [pa.field(name, kind, nullable=False) for name, kind in REQUIRED.items()]
    + [pa.field(name, kind) for name, kind in OPTIONAL.items()]
)
SCHEMA_0_3 = SCHEMA.set(len(SCHEMA) - 1, pa.field("twin", TEXT))


def write_catalog(folder: Path, catalog: Catalog) -> None:
    """Write a catalog into the folder of a cache: Arrow's file format, one row per clip."""
    about = {"dataset": catalog.dataset, "categories": json.dumps(catalog.categories)}
    schema, sink = SCHEMA.with_metadata(about), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as file:
        for first in range(0, len(catalog), ROWS):
            file.write_batch(_as_batch(catalog.clips[first : first + ROWS]))
    write_bytes(folder / CATALOG, sink.getvalue().to_pybytes())


def _as_batch(clips: Sequence[Clip]) -> Any:
    """Goes through JSON: Arrow would import an installed pandas to convert Python objects."""
    extras = [json.dumps(clip.extra) if clip.extra else None for clip in clips]
    dicts = [{**asdict(clip), "extra": text} for clip, text in zip(clips, extras, strict=True)]
    rows = "\n".join(map(json.dumps, dicts)).encode()
    table = pa.json.read_json(
        pa.BufferReader(rows),
        pa.json.ReadOptions(use_threads=False, block_size=len(rows) + 1),
        pa.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error"),
    )
    (batch,) = table.cast(SCHEMA).to_batches()
    return batch


def read_catalog(folder: Path) -> Catalog:
    """The catalog in the folder of a cache. Raises StructAlignError."""
    try:
        return parse_catalog(read_bytes(folder / CATALOG), folder, LARGE)
    except OSError as error:
        raise StructAlignError(f"{folder / CATALOG} is not a catalog: {error}") from error


def parse_catalog(body: bytes, where: object, large: int) -> Catalog:
    """The catalog in a file's bytes. From ``large`` clips on, each is built when asked for."""
    try:
        catalog = _ColumnCatalog(body)
        if len(catalog) >= large:
            return catalog
        return Catalog(catalog.dataset, catalog.categories, catalog)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException) as error:
        raise StructAlignError(f"{where}/{CATALOG} is not a catalog: {error}") from error


class _ColumnCatalog(Catalog):
    """A catalog of Arrow columns."""

    def __init__(self, body: bytes) -> None:
        with pa.ipc.open_file(pa.py_buffer(body)) as file:
            schema = file.schema
            if not (schema.equals(SCHEMA) or schema.equals(SCHEMA_0_3)):
                raise ValueError("it has other columns")
            batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)
            required = [batch[name] for name in REQUIRED]
            if any(column.null_count for column in (*required, batch["captions"].flatten())):
                raise ValueError("it has empty cells")
        about = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        self.dataset, self.categories = about["dataset"], _as_texts(parse_json(about["categories"]))
        self._batches = [batch for batch in batches if batch.num_rows]
        self.clips = _Clips(self._batches, self._check)
        self._check_names()

    @property
    def ids(self) -> list[str]:
        return [name for batch in self._batches for name in batch["id"].to_pylist()]

    def count(self, split: Split) -> int:
        return sum(pc.sum(pc.equal(batch["split"], split)).as_py() for batch in self._batches)

    @property
    def captions(self) -> int:
        return sum(len(batch["captions"].flatten()) for batch in self._batches)

    def select(self, split: Split, categories: tuple[str, ...]) -> list[Clip]:
        names = pa.array(categories, pa.string())
        masks = [
            pc.and_(pc.equal(batch["split"], split), pc.is_in(batch["category"], names))
            for batch in self._batches
        ]
        parts = [batch.filter(mask) for batch, mask in zip(self._batches, masks, strict=True)]
        rank = {name: index for index, name in enumerate(categories)}
        return sorted(_Clips(parts, self._check), key=lambda clip: rank[clip.category])


class _Clips(Sequence[Clip]):
    """The clips of some record batches."""

    def __init__(self, batches: list[Any], check: Callable[[Clip], Clip]) -> None:
        self._batches, self._check = batches, check
        self._ends = list(accumulate(batch.num_rows for batch in batches))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        indexes = range(len(self))[index]
        if isinstance(indexes, range):
            return [self[index] for index in indexes]
        number = bisect_right(self._ends, indexes)
        batch = self._batches[number]
        first = self._ends[number] - batch.num_rows
        (row,) = batch.slice(indexes - first, 1).to_pylist()
        return self._check(_as_clip(row))

    def __iter__(self) -> Iterator[Clip]:
        rows = (row for batch in self._batches for row in batch.to_pylist())
        return (self._check(_as_clip(row)) for row in rows)


def _as_clip(row: dict[str, Any]) -> Clip:
    twin, text = row.pop("twin", None), row.pop("extra", None)
    try:
        extra = _parse_extra(twin, parse_json(text) if text else {})
    except (ValueError, TypeError) as error:
        raise StructAlignError(f"clip '{row['id']}' in {CATALOG}: {error}") from error
    return Clip(**{**row, "captions": tuple(row["captions"]), "extra": extra})


def catalog_json(catalog: Catalog) -> bytes:
    """A catalog as UTF-8 JSON, which cannot unpack to more than its own size."""
    clips = [asdict(clip) for clip in catalog]
    body = {"dataset": catalog.dataset, "categories": catalog.categories, "clips": clips}
    return (json.dumps(body, ensure_ascii=False, indent=1) + "\n").encode()


def parse_catalog_json(body: bytes, where: object) -> Catalog:
    """The catalog in the bytes of a file that lies in ``where``. Raises StructAlignError."""
    try:
        content = parse_json(body.decode("utf-8"))
        clips = [
            Clip(
                captions=_as_texts(row.pop("captions")),
                extra=_parse_extra(row.pop("twin", None), row.pop("extra", {})),
                **row,
            )
            for row in content["clips"]
        ]
        return Catalog(content["dataset"], _as_texts(content["categories"]), clips)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StructAlignError(f"{where}/{CATALOG_JSON} is not a catalog: {error}") from error


def _as_texts(value: object) -> tuple[str, ...]:
    """A list of texts from JSON. Raises TypeError."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{str(value)[:40]!r} is not a list of texts")
    return tuple(value)


def _parse_extra(twin: object, extra: object) -> dict[str, str]:
    """A clip's extra from JSON; version 0.3 had ``twin`` instead. Raises TypeError."""
    values = extra if twin is None else {"twin": twin}
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise TypeError(f"extra {str(values)[:40]!r} does not map texts to texts")
    return values

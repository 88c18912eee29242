"""Every caption's outcome in a study's runs, in one Parquet file per seed.

Columns: conflict, world, cache (fingerprint), seed, method, clip, caption (its number), category,
and what the caption contributes to each figure. They stand in for the runs themselves.
"""

import io
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ..core.errors import StructAlignError
from ..core.files import write_bytes
from ..evaluate.bootstrap import BWF, Outcomes

FACTS = b"structalign"
FIGURES = ("R@1", "R@10", BWF)  # a study's columns
KEYS = ("conflict", "world", "cache", "seed", "method")
PARTS = ("clip", "caption", "category", *FIGURES)


class Measured(NamedTuple):
    """A run of a study with its captions' outcomes; a world may have caches of several cuts."""

    conflict: float
    world: int
    cache: str
    seed: int
    method: str
    outcomes: Outcomes


def write_measured(path: Path, measured: Sequence[Measured], facts: dict[str, Any]) -> None:
    """Write the runs of one seed; ``facts`` are kept as JSON in the file's metadata."""
    tables = []
    for *place, outcomes in measured:
        count = len(outcomes.queries)
        clips, captions = zip(*outcomes.queries, strict=True)
        figures = [outcomes.figures[name].numpy() for name in FIGURES]
        parts = [clips, captions, outcomes.categories, *figures]
        columns = [*([value] * count for value in place), *parts]
        tables.append(pa.table(dict(zip((*KEYS, *PARTS), columns, strict=True))))
    table = pa.concat_tables(tables).replace_schema_metadata({FACTS: json.dumps(facts)})
    body = io.BytesIO()
    pq.write_table(table, body, compression="zstd")
    write_bytes(path, body.getvalue())


def read_measured(path: Path) -> tuple[list[Measured], dict[str, Any]]:
    """The runs of one seed in the order of writing, and the facts.

    Raises StructAlignError: ``write_measured`` did not write the file.
    """
    try:
        table = pq.read_table(path)
        facts = json.loads(table.schema.metadata[FACTS])
        columns = table.to_pydict()
        rows = zip(*(columns[name] for name in (*KEYS, *PARTS)), strict=True)
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise StructAlignError(f"{path} holds no outcomes of a study: {error}") from error
    measured = []
    for place, own_rows in groupby(rows, key=lambda row: row[: len(KEYS)]):
        conflict, world, cache, seed, method = place
        parts = zip(*(row[len(KEYS) :] for row in own_rows), strict=True)
        clips, captions, categories, *figures = parts
        values = [torch.tensor(figure, dtype=torch.float64) for figure in figures]
        outcomes = Outcomes(
            tuple(zip(clips, captions, strict=True)),
            categories,
            dict(zip(FIGURES, values, strict=True)),
        )
        measured.append(Measured(conflict, world, cache, seed, method, outcomes))
    return measured, facts

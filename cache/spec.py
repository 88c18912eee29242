"""What a cached token means: the specification of a cache and its fingerprint."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from .runtime.errors import StructAlignError

SCHEMA = 2


@dataclass(frozen=True)
class CacheSpec:
    """Everything that determines the content of a cache, and nothing else.

    ``sources`` hashes the sorted (clip, hash of its file, start, end); ``catalog`` hashes captions,
    categories and splits, which travel with the tokens. ``weights`` hashes the backbone's weights.
    ``cut`` is the number of vision blocks in the stem. ``views`` counts a training clip's views;
    test clips have view 0 alone.
    """

    dataset: str
    sources: str
    catalog: str
    backbone: str
    weights: str
    cut: int
    frames: int
    views: int
    view_seed: int
    view_scale: float
    view_flip: bool
    preprocessing: dict[str, Any]
    decoder: str
    sampling: str = "interval-midpoints"
    compute_dtype: str = "float32"
    token_dtype: str = "float16"
    schema: int = SCHEMA

    def fingerprint(self) -> str:
        """sha256 over canonical JSON of every field."""
        text = json.dumps(
            asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "CacheSpec":
        """A specification. Raises StructAlignError for another schema or other fields."""
        if body.get("schema") != SCHEMA:
            there = body.get("schema")
            raise StructAlignError(
                f"this cache has schema {there!r}, this version reads schema {SCHEMA}; "
                "extract again"
            )
        names = {field.name for field in fields(cls)}
        if set(body) != names:
            raise StructAlignError(
                f"cache specification is damaged: fields differ in {sorted(names ^ set(body))}"
            )
        return cls(**body)


def hash_sources(rows: Iterable[tuple[str, str, float | None, float | None]]) -> str:
    """sha256 over sorted rows of (clip id, hash of its source file, start, end)."""
    text = json.dumps(
        sorted(map(list, rows), key=lambda row: str(row[0])), separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()

"""What a cached token means: the specification of a cache and its fingerprint."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from ..core.errors import StructAlignError

SCHEMA = 3
READABLE = (2, 3)  # 2 knows its weights as a whole, not those after the cut alone
TYPES: dict[Any, Any] = {
    str: str, int: int, float: (int, float), bool: bool, dict[str, Any]: dict,
}  # fmt: skip
BOUNDS = {"cut": (0, 1000), "frames": (1, 4096), "views": (1, 1000), "view_scale": (0, 1)}
TOKEN_DTYPES = ("float16",)


@dataclass(frozen=True)
class CacheSpec:
    """Everything that determines the content of a cache, and nothing else.

    ``sources`` hashes the sorted (clip, hash of its file, start, end); ``catalog`` hashes captions,
    categories and splits, which travel with the tokens. ``weights`` hashes the digests of the
    backbone's tensors, configuration and tokenizer (``weights.json``; schema 2: the tensors).
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
        if body.get("schema") not in READABLE:
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
        spec = cls(**body)
        for name, kind in get_type_hints(cls).items():
            value = body[name]
            if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind is not bool):
                raise StructAlignError(
                    f"cache specification is damaged: {name} is {str(value)[:40]!r}, "
                    f"not of type {getattr(kind, '__name__', 'dict')}"
                )
        for name, (least, most) in BOUNDS.items():
            if not least <= body[name] <= most:
                raise StructAlignError(
                    f"cache specification is damaged: {name} is {body[name]}, not {least} to {most}"
                )
        if spec.token_dtype not in TOKEN_DTYPES:
            raise StructAlignError(
                f"cache specification is damaged: token_dtype is {spec.token_dtype[:40]!r}, "
                f"not {' or '.join(TOKEN_DTYPES)}"
            )
        return spec

    @property
    def weights_of_parts(self) -> str | None:
        """``weights``, if parts of the backbone can be checked against it; None in schema 2."""
        return self.weights if self.schema > 2 else None


def hash_sources(rows: Iterable[tuple[str, str, float | None, float | None]]) -> str:
    """sha256 over sorted rows of (clip id, hash of its source file, start, end)."""
    text = json.dumps(
        sorted(map(list, rows), key=lambda row: str(row[0])), separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()

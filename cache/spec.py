"""What a cached token means: the specification of a cache and its fingerprint."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

from ..core.errors import StructAlignError
from .checksums import DamagedError

SCHEMA = 3
TYPES: dict[Any, Any] = {
    str: str, int: int, float: (int, float), bool: bool, dict[str, Any]: dict,
    int | None: (int, type(None)),
}  # fmt: skip
BOUNDS = {"cut": (0, 1000), "frames": (1, 4096), "views": (1, 1000), "view_scale": (0, 1)}
# How frames are sampled, by its name on the command line.
SAMPLINGS = {"number": "interval-midpoints", "time": "interval-midpoints in time"}
KNOWN = {
    "token_dtype": ("float16",),
    "grid": (None, 0, 2, 3),
    "sampling": tuple(SAMPLINGS.values()),
}


@dataclass(frozen=True)
class Augmentation:
    """The views of a training clip: view 0 is the test view.

    Others are crops of an area in [scale, 1], maybe flipped, of generators keyed by ``seed``.
    """

    views: int
    seed: int
    scale: float
    flip: bool


@dataclass(frozen=True)
class CacheSpec:
    """Everything that determines the content of a cache, and nothing else.

    ``sources`` hashes the sorted (clip, hash of its file, start, end), ``catalog`` captions,
    categories and splits, ``weights`` the digests of the backbone's tensors, configuration and
    tokenizer. ``cut`` is the number of vision blocks in the stem. With ``grid`` the whole tower is
    frozen (``backbones.whole``): a token is a feature in the joint space, and ``cut`` where tokens
    have been float16 on the way. Test clips have only view 0.
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
    sampling: str = SAMPLINGS["number"]
    compute_dtype: str = "float32"
    token_dtype: str = "float16"
    schema: int = SCHEMA
    grid: int | None = None

    @property
    def augmentation(self) -> Augmentation:
        """How a training clip's views are drawn."""
        return Augmentation(self.views, self.view_seed, self.view_scale, self.view_flip)

    @property
    def by_time(self) -> bool:
        """Whether frames are sampled evenly in time, not by number."""
        return self.sampling == SAMPLINGS["time"]

    @property
    def cut_name(self) -> int | str:
        """The cut as the command line names it."""
        return self.cut if self.grid is None else "all"

    @property
    def grid_name(self) -> int | str:
        """The grid as the command line names it."""
        return self.grid or "none"

    def meaning_of_tokens(self) -> dict[str, Any]:
        """What must be equal in two caches of one run, by a name for people."""
        return {
            "backbone": self.backbone, "weights": self.weights, "cut": self.cut_name,
            "grid": self.grid_name, "cut before float16": self.cut,
            "preprocessing": self.preprocessing,
        }  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Every field; without ``grid`` where a tower is cut, as before there was one."""
        return {name: v for name, v in asdict(self).items() if (name, v) != ("grid", None)}

    def fingerprint(self) -> str:
        """sha256 over canonical JSON of every field."""
        text = json.dumps(
            self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False,
            allow_nan=False,
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "CacheSpec":
        """A specification from its JSON. Raises StructAlignError; DamagedError for odd values."""
        if (there := body.get("schema")) != SCHEMA:
            raise StructAlignError(
                f"this cache has schema {there!r}, this version reads schema {SCHEMA}; "
                "extract again"
            )
        body = {"grid": None, **body}
        if problem := next(cls._problems(body), None):
            raise DamagedError("specification", problem)
        return cls(**body)

    @classmethod
    def _problems(cls, body: dict[str, Any]) -> Iterator[str]:
        hints = get_type_hints(cls)
        if body.keys() != hints.keys():
            yield f"fields differ in {sorted(hints.keys() ^ body.keys())}"
        for name, kind in hints.items():
            value = body[name]
            if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind is not bool):
                wanted = getattr(kind, "__name__", "dict")
                yield f"{name} is {str(value)[:40]!r}, not of type {wanted}"
        for name, (least, most) in BOUNDS.items():
            if not least <= body[name] <= most:
                yield f"{name} is {body[name]}, not {least} to {most}"
        for name, known in KNOWN.items():
            if body[name] not in known:
                yield f"{name} is {str(body[name])[:40]!r}, not {' or '.join(map(str, known))}"


def hash_sources(rows: Iterable[tuple[str, str, float | None, float | None]]) -> str:
    """sha256 over sorted rows of (clip id, hash of its source file, start, end)."""
    text = json.dumps(
        sorted(map(list, rows), key=lambda row: str(row[0])), separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()

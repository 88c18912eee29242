"""Finding every damaged or missing byte of a published cache."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cache import seal
from cache.chunks import READERS, ChunkError, read_chunks
from cache.errors import StructAlignError
from cache.files import sha256_of
from cache.finite import all_finite
from cache.store import FeatureCache, is_remote


@dataclass(frozen=True)
class Findings:
    """``damaged`` and ``missing`` list (clip, view); ``files`` names whatever else is not as it was written, or does not belong there."""

    damaged: list[tuple[str, int]]
    missing: list[tuple[str, int]]
    files: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not (self.damaged or self.missing or self.files)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        lists = {"damaged": self.damaged, "missing": self.missing}
        return {**{name: [{"clip": clip, "view": view} for clip, view in views] for name, views in lists.items()}, "files": self.files}


def verify(path: str | Path) -> Findings:
    """Read all of a cache. Raises StructAlignError when it is no cache at all, or of another schema."""
    if not is_remote(path) and not (Path(path) / seal.NAME).is_file():
        raise StructAlignError(f"{path} is not a complete cache; name another")
    try:
        cache = FeatureCache.open(path)
    except StructAlignError as error:
        if "is damaged" not in str(error):
            raise
        return Findings([], [], [_named(str(error))])
    views = [(clip.id, view) for clip in cache.ok(list(cache.catalog)) for view in range(cache.rows.views(clip.id))]
    with ThreadPoolExecutor(READERS) as readers:
        states = list(readers.map(lambda one: _state(cache, cache.rows.row(*one)), views))
    damaged, missing = ([view for view, state in zip(views, states, strict=True) if state == bad] for bad in ("damaged", "missing"))
    return Findings(damaged, missing, [] if is_remote(path) else _other_files(cache))


def verdict(body: Mapping[str, Any]) -> str:
    """What was found, as text: findings as JSON with ``ok`` and ``path``, and ``deep`` where clips were extracted again."""
    lines = [f"{kind}: clip {row['clip']}, view {row['view']}" for kind in ("damaged", "missing") for row in body[kind]]
    lines += [f"damaged: {name}" for name in body["files"]]
    if "deep" in body:
        lines += [f"differs when extracted again: clip {clip}" for clip in body["deep"]["differing"]]
        lines.append(f"{body['deep']['clips']} clips extracted again, smallest cosine of a token {body['deep']['min_cosine']:.6f}")
    return "\n".join([*lines, f"cache {body['path']}: {'every byte is as it was written' if body['ok'] else 'damaged; extract it again'}"])


def _state(cache: FeatureCache, row: int) -> Literal["good", "damaged", "missing"]:
    try:
        if is_remote(cache.path):
            tokens = np.asarray(cache.array[row])
            if np.isnan(tokens).all():
                return "missing"
        else:
            (tokens,) = read_chunks(cache.path / "tokens", [row], cache.array.shape[1:], cache.spec.token_dtype)
    except ChunkError as error:
        return "missing" if error.missing else "damaged"
    except (ValueError, OSError, RuntimeError):
        return "damaged"
    return "good" if all_finite(tokens) else "damaged"


def _named(message: str) -> str:
    return message.rsplit("is damaged: ", maxsplit=1)[-1].split("; ", maxsplit=1)[0]


def _other_files(cache: FeatureCache) -> list[str]:
    """Files that differ from their checksum, are gone, or that no cache of this specification has."""
    folder, expected = cache.path, cache.sealed["files"]
    changed = [name for name, digest in expected.items() if not (folder / name).is_file() or sha256_of(folder / name) != digest]
    rows = {cache.rows.row(clip.id, view) for clip in cache.ok(list(cache.catalog)) for view in range(cache.rows.views(clip.id))}
    known = {seal.NAME, *expected, *(f"tokens/c.{row}.0.0.0" for row in rows)}
    foreign = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return [*changed, *(f"{name} (does not belong here)" for name in foreign if name not in known)]

"""Finding every damaged or missing byte of a published cache."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import StructAlignError
from ..core.files import sha256_of
from .checksums import MANIFEST
from .reader import FeatureCache
from .tokens import READERS, View, is_remote


@dataclass(frozen=True)
class VerifyReport:
    """Damaged and missing (clip, view), and other files that are damaged or do not belong."""

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
        rows = {k: [{"clip": c, "view": v} for c, v in views] for k, views in lists.items()}
        return {**rows, "files": self.files}


def verify(path: str | Path) -> VerifyReport:
    """Read all of a cache. Raises StructAlignError when it is no cache, or of another schema."""
    if not is_remote(path) and not (Path(path) / MANIFEST).is_file():
        raise StructAlignError(f"{path} is not a complete cache; name another")
    try:
        cache = FeatureCache.open(path)
        cache.check_catalog()
        views, reader = cache.published_views(), cache.reader
    except StructAlignError as error:
        if "is damaged" not in str(error):
            raise
        named = str(error).rsplit("is damaged: ", maxsplit=1)[-1].split("; ", maxsplit=1)[0]
        return VerifyReport([], [], [named])
    with ThreadPoolExecutor(READERS) as readers:
        states = list(readers.map(reader.state, views))
    damaged, missing = (
        [view for view, state in zip(views, states, strict=True) if state == bad]
        for bad in ("damaged", "missing")
    )
    others = [] if is_remote(path) else _other_files(cache, views)
    return VerifyReport(damaged, missing, others or _foreign_weights(cache))


def summary(body: Mapping[str, Any]) -> str:
    """The report as text, from its JSON with ``ok``, ``path`` and, where audited, ``deep``."""
    lines = [
        f"{kind}: clip {row['clip']}, view {row['view']}"
        for kind in ("damaged", "missing")
        for row in body[kind]
    ]
    lines += [f"damaged: {name}" for name in body["files"]]
    if deep := body.get("deep"):
        lines += [f"differs when extracted again: clip {clip}" for clip in deep["differing"]]
        lines.append(
            f"{deep['clips']} clips extracted again, "
            f"smallest cosine of a token {deep['min_cosine']:.6f}"
        )
    state = "every byte is as it was written" if body["ok"] else "damaged; extract it again"
    return "\n".join([*lines, f"cache {body['path']}: {state}"])


def _foreign_weights(cache: FeatureCache) -> list[str]:
    """The file of frozen weights, where it holds others than the fingerprint was made from."""
    from ..backbones.split_weights import FROZEN_FILE, load_frozen  # slow: torch

    try:
        load_frozen(cache.frozen, cache.spec.weights_of_parts)
    except (StructAlignError, OSError, ValueError, KeyError, TypeError, RuntimeError):
        return [f"{FROZEN_FILE} (not the weights that the fingerprint was made from)"]
    return []


def _other_files(cache: FeatureCache, views: list[View]) -> list[str]:
    """Files that differ from their checksum, are missing, or do not belong in this cache."""
    folder, expected = cache.path, cache.manifest["files"]
    changed = [
        name
        for name, digest in expected.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]
    chunks = {f"tokens/{name}" for name in cache.reader.files(views)}
    known = {MANIFEST, *expected, *chunks}
    found = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    return [*changed, *(f"{name} (does not belong here)" for name in found if name not in known)]

"""A cache as one HDF5 file: for sending to somebody. Checksums inside, readable in parts, and nothing in it is believed before it is checked."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache import seal
from cache.errors import StructAlignError
from cache.files import share_mode
from cache.finite import all_finite
from cache.root import CacheRoot
from cache.staging import ClipOutcome, StagedCache, create_tokens, write_tokens
from cache.store import FeatureCache

FORMAT = "structalign-cache"
TEXTS = (seal.NAME, "spec.json", "catalog.json", "sources.json", "backbone.json")
BINARIES = ("frozen.safetensors", "bpe.txt.gz")
ROWS = 64  # rows copied at a time


def export_bundle(cache: FeatureCache, file: Path) -> None:
    """Write ``tokens`` (a chunk a row, Fletcher-32 checksums) and every other file as bytes under ``files/``; whole or not at all.

    Raises:
        StructAlignError: the file exists, or the cache is damaged.
    """
    if file.exists():
        raise StructAlignError(f"{file} exists; give another name, or remove it first")
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    _ = cache.frozen  # proves the weights' checksums
    good = [cache.rows.row(clip.id, view) for clip in cache.ok(list(cache.catalog)) for view in range(cache.rows.views(clip.id))]
    try:
        with h5py.File(temporary, "w") as bundle:
            bundle.attrs["format"], bundle.attrs["fingerprint"] = FORMAT, cache.fingerprint
            shape = cache.array.shape
            tokens = bundle.create_dataset("tokens", shape, "float16", chunks=(1, *shape[1:]), fletcher32=True, fillvalue=np.nan)
            for first in range(0, len(good), ROWS):
                rows = good[first : first + ROWS]
                tokens[rows] = _finite(np.asarray(cache.array.oindex[np.asarray(rows)]), cache)
            for name in (*TEXTS, *BINARIES):
                if name == seal.NAME or name in cache.sealed["files"]:
                    bundle.create_dataset(f"files/{name}", data=np.frombuffer((cache.path / name).read_bytes(), np.uint8), fletcher32=True)
        share_mode(temporary)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def import_bundle(file: Path, root: CacheRoot, waits: Callable[[str], None]) -> FeatureCache:
    """Unpack a bundle into the root and publish it under the fingerprint that it proves to have.

    One process at a time unpacks a bundle: ``waits`` is told who does while this one waits. What a killed one left is begun anew.

    Raises:
        StructAlignError: not a bundle, damaged, or built to reach outside itself.
    """
    try:
        with h5py.File(file, "r") as bundle:
            return _import(bundle, file, root, waits)
    except (OSError, KeyError, RuntimeError) as error:
        if isinstance(error, FileNotFoundError):
            raise StructAlignError(f"no bundle {file}") from error
        raise StructAlignError(f"{file} is not a whole bundle ({str(error).splitlines()[0][:160]}); have it sent again") from error


def _import(bundle: h5py.File, file: Path, root: CacheRoot, waits: Callable[[str], None]) -> FeatureCache:
    if bundle.attrs.get("format") != FORMAT:
        raise StructAlignError(f"{file} is not a StructAlign bundle")
    bodies = {name: _plain(bundle, f"files/{name}", file)[...].tobytes() for name in (*TEXTS, *BINARIES) if f"files/{name}" in bundle}
    name = f"import.{hashlib.sha256(bodies['spec.json']).hexdigest()[:16]}"
    claim = root.claim(name)
    claim.acquire(waits)
    with claim:
        staged = root.stage(name)
        staged.make_empty()
        try:
            fingerprint = _unpack(bodies, _plain(bundle, "tokens", file), staged, file, root)
            if claim.superseded:
                raise StructAlignError("another process took over this import")
            path = root.folder(fingerprint) if root.is_published(fingerprint) else root.publish(staged, fingerprint)
        finally:
            if not claim.superseded:
                staged.discard()
    return FeatureCache.open(path)


def _unpack(bodies: dict[str, bytes], tokens: h5py.Dataset, staged: StagedCache, file: Path, root: CacheRoot) -> str:
    """Check and seal all of it in the staging folder, unless it is published already. The fingerprint."""
    for name, body in bodies.items():
        (staged.path / name).write_bytes(body)
    described = FeatureCache.describe(staged.path)
    spec, catalog, _ = described.spec, described.catalog, described.frozen  # ``frozen`` proves the weights' checksums
    if tokens.shape[:2] != (len(described.rows), spec.frames) or tokens.ndim != 4 or tokens.dtype != np.dtype(spec.token_dtype):
        raise StructAlignError(f"{file}: its tokens {tokens.shape} {tokens.dtype} are not what its specification says")
    if root.is_published(described.fingerprint):
        return described.fingerprint
    create_tokens(staged.path, catalog, spec, (int(tokens.shape[2]), int(tokens.shape[3])))
    array = staged.open_tokens()
    for clip in described.ok(list(catalog)):
        for view in range(described.rows.views(clip.id)):
            row = described.rows.row(clip.id, view)
            write_tokens(array, row, tokens[row])
    outcomes = [ClipOutcome(clip.id, *described.quarantine.get(clip.id, ())) for clip in catalog]
    staged.seal(spec, outcomes, {**described.provenance, "imported_from": file.name})
    return described.fingerprint


def _plain(bundle: h5py.File, name: str, file: Path) -> Any:
    """A data set that lies in the file itself: no link, no external or virtual storage, which could read other files of this machine."""
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        if not isinstance(bundle.get("/".join(parts[:depth]), getlink=True), h5py.HardLink):
            raise StructAlignError(f"{file}: '{name}' points outside the bundle; it is refused")
    found = bundle[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise StructAlignError(f"{file}: '{name}' is not plain data of the bundle; it is refused")
    return found


def _finite(tokens: np.ndarray, cache: FeatureCache) -> np.ndarray:
    if not all_finite(tokens):
        raise StructAlignError(f"cache {cache.path} is damaged: tokens are missing or not finite; 'cache verify' names the clips")
    return tokens

"""A cache as one HDF5 file, to send to somebody. An import checks a bundle before it uses it."""

import errno
import hashlib
import io
import math
import os
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import StructAlignError
from ..core.files import share_mode
from ..core.hashing import sha256_of
from ..core.processes import interrupts_between_steps
from .catalog_file import catalog_json, parse_catalog_json, write_catalog
from .checksums import DamagedError, checksums_text, parse_checksums
from .layout import CATALOG, CATALOG_JSON, COMPLETE, SOURCES, SPEC, TIMES, TOKEN_CHECKSUMS, WEIGHTS
from .reader import FeatureCache, read_checked
from .root import CacheRoot
from .tokens import SHARD_CLIPS, create_tokens
from .writer import CacheWriter, ClipOutcome

FORMAT = "structalign-cache"
BUNDLED = (COMPLETE, SPEC, SOURCES, CATALOG_JSON, TIMES, *WEIGHTS)
ROWS = 64  # rows copied at a time


def export_hdf5(cache: FeatureCache, file: Path) -> None:
    """Write a cache into one file, whole or not at all.

    ``tokens`` has one chunk per view with Fletcher-32 checksums; ``files/`` has the bytes of every
    other file. Raises StructAlignError if the file exists, or the cache is damaged.
    """
    if os.path.lexists(file):
        raise StructAlignError(f"{file} exists; give another name, or remove it first")
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    _ = cache.frozen  # verifies the weights' checksums
    views = cache.published_views()
    try:
        with (
            _PatientFile(temporary, "w+") as out,
            interrupts_between_steps() as raise_interrupt,
            h5py.File(out, "w") as bundle,
        ):
            bundle.attrs["format"], bundle.attrs["fingerprint"] = FORMAT, cache.fingerprint
            shape = (len(cache.views), *cache.reader.shape)
            options = {"chunks": (1, *shape[1:]), "fletcher32": True, "fillvalue": np.nan}
            tokens = bundle.create_dataset("tokens", shape, "float16", **options)
            for first in range(0, len(views), ROWS):
                part = views[first : first + ROWS]
                tokens[[cache.views.row(view) for view in part]] = cache.read(part)
                raise_interrupt()
                out.raise_error(file)
            for name, body in _bundled(cache).items():
                data = np.frombuffer(body, np.uint8)
                bundle.create_dataset(f"files/{name}", data=data, fletcher32=True)
        out.raise_error(file)
        share_mode(temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


class _PatientFile(io.FileIO):
    """A file to which HDF5 can write whatever happens: after an error, what it writes is dropped.

    HDF5 cannot close a file on a full disk, and then crashes when the process ends.
    """

    _error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``."""
        left = memoryview(data).cast("B")
        size = len(left)
        while len(left) and self._error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self._error = error
        return size

    def raise_error(self, file: Path) -> None:
        """Raise the error that a write had, as one of ``file``."""
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror, str(file))


def _bundled(cache: FeatureCache) -> dict[str, bytes]:
    """The bytes of the files in a bundle: the cache's own, but for the catalog, which is JSON."""
    names = [name for name in BUNDLED if name in cache.checksums]
    bodies = {name: read_checked(cache.store, name, cache.checksums) for name in names}
    bodies[CATALOG_JSON] = catalog_json(cache.catalog)
    files = {**cache.checksums, CATALOG_JSON: hashlib.sha256(bodies[CATALOG_JSON]).hexdigest()}
    for name in (CATALOG, TOKEN_CHECKSUMS):  # the import writes them
        del files[name]
    return {COMPLETE: checksums_text({**cache.complete, "files": files}).encode(), **bodies}


def import_hdf5(file: Path, root: CacheRoot, waits: Callable[[str], None]) -> FeatureCache:
    """Unpack a bundle into the root and publish it under the fingerprint that it proves to have.

    ``waits`` is called with the name of another process that unpacks it, before waiting for that.
    Raises StructAlignError for what is no bundle, damaged, or built to reach outside itself.
    """
    if file.exists() and not file.is_file():
        raise StructAlignError(f"{file} is not a file; name the bundle's file")
    try:
        with h5py.File(file, "r") as bundle:
            return _import(bundle, file, root, waits)
    except FileNotFoundError as error:
        raise StructAlignError(f"no bundle {file}") from error
    except (OSError, KeyError, RuntimeError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = str(error).splitlines()[0][:160]
        raise StructAlignError(
            f"{file} is not a whole bundle ({what}); have it sent again"
        ) from error


def _import(
    bundle: h5py.File, file: Path, root: CacheRoot, waits: Callable[[str], None]
) -> FeatureCache:
    if bundle.attrs.get("format") != FORMAT:
        raise StructAlignError(f"{file} is not a StructAlign bundle")
    names = [name for name in BUNDLED if f"files/{name}" in bundle]
    bodies = {name: _bytes(bundle, f"files/{name}", file) for name in names}
    name = f"import.{hashlib.sha256(bodies[SPEC]).hexdigest()[:16]}"
    lease = root.lease(name)
    lease.acquire(waits)
    with lease:
        writer = root.writer(name)
        writer.make_empty()
        try:
            fingerprint = _unpack(bodies, _plain(bundle, "tokens", file), writer, file, root)
            if lease.lost:
                raise StructAlignError("another process took over this import")
            if not root.is_published(fingerprint):
                root.publish(writer, fingerprint)
        finally:
            if not lease.lost:
                writer.discard()
    return FeatureCache.open(root.folder(fingerprint))


def _unpack(
    bodies: dict[str, bytes], tokens: h5py.Dataset, writer: CacheWriter, file: Path, root: CacheRoot
) -> str:
    """Check a cache and finalize it, unless it is published already; returns its fingerprint."""
    complete = parse_checksums(bodies.pop(COMPLETE), file)
    catalog_body = bodies.pop(CATALOG_JSON)
    if hashlib.sha256(catalog_body).hexdigest() != complete["files"].pop(CATALOG_JSON, None):
        raise DamagedError(file, f"{CATALOG_JSON} is not as it was written")
    catalog = parse_catalog_json(catalog_body, file)
    for name, body in bodies.items():
        (writer.path / name).write_bytes(body)
    write_catalog(writer.path, catalog)
    complete["files"][CATALOG] = sha256_of(writer.path / CATALOG)
    (writer.path / COMPLETE).write_text(checksums_text(complete))
    described = FeatureCache.describe(writer.path)
    spec = described.spec
    described.check_catalog()
    expected = (len(described.views), spec.frames, *_token_shape(described, file))
    if tokens.shape != expected or tokens.dtype != np.dtype(spec.token_dtype):
        raise StructAlignError(
            f"{file}: its tokens {tokens.shape} {tokens.dtype} are not what its specification says"
        )
    held = len(described.published_views()) * tokens.dtype.itemsize * math.prod(expected[1:])
    _refuse_inflating(tokens, held, file)
    if root.is_published(described.fingerprint):
        return described.fingerprint
    create_tokens(writer.path, catalog, spec, (int(tokens.shape[2]), int(tokens.shape[3])))
    with interrupts_between_steps() as raise_interrupt:
        for batch in range(-(-len(catalog) // SHARD_CLIPS)):
            raise_interrupt()
            _copy_batch(batch, described, tokens, writer)
    outcomes = [ClipOutcome.published(described, clip.id) for clip in catalog]
    writer.finalize(spec, outcomes, {**described.provenance, "imported_from": file.name})
    return described.fingerprint


def _copy_batch(
    batch: int, described: FeatureCache, tokens: h5py.Dataset, writer: CacheWriter
) -> None:
    """Write a shard of the cache from the bundle's tokens."""
    table, first = described.views, batch * SHARD_CLIPS
    with writer.shard(batch, table) as shard:
        for index, clip in enumerate(described.catalog.clips[first : first + SHARD_CLIPS]):
            if clip.id not in described.quarantine:
                row = table.row((clip.id, 0))
                views = tokens[row : row + table.views(clip.id)]
                shard.put(index * table.most, table.most, views)


def _bytes(bundle: h5py.File, name: str, file: Path) -> bytes:
    """A small file's bytes, after a check that the bundle really holds as many."""
    data = _plain(bundle, name, file)
    if data.dtype != np.uint8 or data.ndim != 1:
        raise StructAlignError(f"{file}: '{name}' does not hold bytes; it is refused")
    _refuse_inflating(data, data.nbytes, file)
    return bytes(data[...].tobytes())


def _refuse_inflating(data: h5py.Dataset, size: int, file: Path) -> None:
    """Refuse data that would take more room than the bundle does: exports are not compressed."""
    if data.compression or data.scaleoffset or data.id.get_storage_size() < size:
        raise StructAlignError(
            f"{file}: '{data.name}' claims {size / 1e6:.1f} MB and holds "
            f"{data.id.get_storage_size() / 1e6:.1f}; it is refused"
        )


def _token_shape(described: FeatureCache, file: Path) -> tuple[int, int]:
    """(tokens of a frame, width) of the bundled backbone, after a check of its frozen weights."""
    from ..backbones.split_weights import load_frozen  # slow: torch, open_clip

    try:
        return load_frozen(described.frozen, described.spec.weights).token_shape
    except (
        OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, ZeroDivisionError,
    ) as error:  # fmt: skip
        raise StructAlignError(
            f"{file}: its frozen weights cannot be read ({type(error).__name__})"
        ) from error


def _plain(bundle: h5py.File, name: str, file: Path) -> Any:
    """A data set in the file itself. Refuses links and external or virtual storage."""
    for path in accumulate(name.split("/"), "{}/{}".format):
        link = bundle.get(path, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise StructAlignError(f"{file}: '{name}' points outside the bundle; it is refused")
    data = bundle[name]
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise StructAlignError(f"{file}: '{name}' is not plain data of the bundle; it is refused")
    return data

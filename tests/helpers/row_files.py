"""A cache as versions before 0.3 laid it out: a file a view, the catalog in JSON."""

import hashlib
import json
import shutil
from pathlib import Path

import zarr
from structalign.cache import FeatureCache
from structalign.cache.catalog_file import ARROW, JSON, as_json
from structalign.cache.checksums import MANIFEST, manifest_text, read_manifest
from structalign.cache.token_checksums import FILE as CHECKSUMS
from zarr.codecs import BytesCodec, Crc32cCodec


def lay_out_as_before(folder: Path) -> None:
    """Write array and catalog of a cache in a writable folder again, and their checksums."""
    cache = FeatureCache.open(folder)
    views = cache.published_views()
    tokens = cache.read(views)
    shutil.rmtree(folder / "tokens")
    array = zarr.create_array(
        folder / "tokens",
        shape=(len(cache.views), *tokens.shape[1:]),
        chunks=(1, *tokens.shape[1:]),
        dtype="float16",
        serializer=BytesCodec(),
        compressors=Crc32cCodec(),
        fill_value=float("nan"),
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
    )
    for view, of_view in zip(views, tokens, strict=True):
        array[cache.views.row(view)] = of_view
    body = read_manifest((folder / MANIFEST).read_text(), str(folder))
    (folder / JSON).write_bytes(as_json(cache.catalog))
    for name in (ARROW, CHECKSUMS):
        (folder / name).unlink()
        del body["files"][name]
    for name in (JSON, "tokens/zarr.json"):
        body["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(manifest_text(json.loads(json.dumps(body))))

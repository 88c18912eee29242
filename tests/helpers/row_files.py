"""A cache as versions before 0.3 laid out its tokens: a file for every view of a clip."""

import hashlib
import json
import shutil
from pathlib import Path

import zarr
from structalign.cache import FeatureCache
from structalign.cache.checksums import MANIFEST, manifest_text, read_manifest
from zarr.codecs import BytesCodec, Crc32cCodec


def lay_out_as_rows(folder: Path) -> None:
    """Write the array of a cache in a writable folder again, and its checksum."""
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
    digest = hashlib.sha256((folder / "tokens" / "zarr.json").read_bytes()).hexdigest()
    body["files"]["tokens/zarr.json"] = digest
    (folder / MANIFEST).write_text(manifest_text(json.loads(json.dumps(body))))

"""The files of a cache's folder: every name, once."""

from ..backbones.saved_names import (
    BACKBONE_FILE,
    BPE_FILE,
    DIGESTS_FILE,
    FROZEN_FILE,
    TOKENIZER_FILE,
)

COMPLETE = "complete.json"  # the checksums of all files; written last, so it makes a cache complete
SPEC = "spec.json"
SOURCES = "sources.json"
CATALOG = "catalog.arrow"
CATALOG_JSON = "catalog.json"  # in bundles, and in caches of versions before 0.3
TOKENS = "tokens"
TOKENS_INDEX = f"{TOKENS}/zarr.json"
TOKEN_CHECKSUMS = "checksums.npy"
TIMES = "times.safetensors"  # of the sampled frames; caches of version 0.3 lack it
WEIGHTS = (BACKBONE_FILE, FROZEN_FILE, DIGESTS_FILE, BPE_FILE, TOKENIZER_FILE)
CHECKED = (SPEC, SOURCES, CATALOG, TIMES, TOKEN_CHECKSUMS, TOKENS_INDEX, *WEIGHTS)  # by COMPLETE
PUBLISHED = {*CHECKED, COMPLETE, TOKENS} - {TOKENS_INDEX}  # in the folder itself

# Of an unfinished cache. The names stay: versions that share a root share unfinished caches, too.
PREPARED = "prepared"
BATCH_RECORDS = "receipts"


def shard_name(shard: int) -> str:
    """The file of a shard of the token array, below ``TOKENS``, as Zarr names it."""
    return f"c.{shard}.0.0.0.0"

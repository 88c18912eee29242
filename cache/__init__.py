"""The contract between extraction and training: what a cached token means, and where it is."""

from cache.catalog import Catalog, Clip
from cache.errors import StructAlignError
from cache.root import CacheRoot
from cache.spec import CacheSpec
from cache.store import FeatureCache

__all__ = ["CacheRoot", "CacheSpec", "Catalog", "Clip", "FeatureCache", "StructAlignError"]

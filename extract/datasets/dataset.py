"""What a dataset reader hands over."""

from dataclasses import dataclass
from pathlib import Path

from ...cache.catalog import Catalog


@dataclass(frozen=True)
class Dataset:
    """A catalog and the folder that its clips' paths start from."""

    catalog: Catalog
    root: Path

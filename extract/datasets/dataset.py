"""What a dataset reader returns."""

from dataclasses import dataclass
from pathlib import Path

from ...cache.catalog import Catalog


@dataclass(frozen=True)
class Dataset:
    """A catalog and the folder that its clips' paths are relative to."""

    catalog: Catalog
    root: Path

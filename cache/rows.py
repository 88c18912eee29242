"""Where a clip's views lie in the token array."""

from cache.catalog import Catalog
from cache.errors import StructAlignError


class RowTable:
    """Row of each (clip, view): clips in the catalog's order, a training clip's views side by side, a test clip's one view."""

    def __init__(self, catalog: Catalog, views: int) -> None:
        self._first: dict[str, tuple[int, int]] = {}
        row = 0
        for clip in catalog:
            count = views if clip.split == "train" else 1
            self._first[clip.id] = (row, count)
            row += count
        self._total = row

    def __len__(self) -> int:
        return self._total

    def views(self, clip_id: str) -> int:
        """How many views a clip has."""
        return self._first[clip_id][1]

    def row(self, clip_id: str, view: int) -> int:
        """Raises StructAlignError for a clip or view that is not there."""
        if clip_id not in self._first:
            raise StructAlignError(f"no clip '{clip_id}' in this cache")
        first, count = self._first[clip_id]
        if not 0 <= view < count:
            raise StructAlignError(f"clip '{clip_id}' has views 0..{count - 1}, not {view}")
        return first + view

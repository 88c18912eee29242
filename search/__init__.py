"""Searching a finished run's clips by words or by a video, and the search page."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..cache.reader import FeatureCache
    from ..train.runs.run import Run
    from .results import SearchResults


def search(
    run: "Run | str | Path",
    query: str,
    top: int = 5,
    *,
    cache: "FeatureCache | None" = None,
    only: bool = False,
) -> "SearchResults":
    """The clips of a run that fit a query best, and why.

    Args:
        run: a run, or its folder.
        query: words in the language of the captions.
        top: how many clips.
        cache: another cache whose clips are searched too, without training.
        only: search the clips of ``cache`` alone.

    Raises:
        StructAlignError: a query without a word, no finished task, or a cache of another backbone.
    """
    from ..train.runs.run import Run
    from .searcher import Searcher

    opened = run if isinstance(run, Run) else Run.open(run)
    return Searcher(opened, cache, only).search(query, top)

"""StructAlign: continual text-to-video retrieval from cached CLIP tokens.

from structalign.extract import extract
from structalign.train import train
from structalign.evaluate import evaluate, search
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cache.reader import FeatureCache
    from .train.runs.run import Run

__version__ = "0.3.0"
__all__ = ["__version__", "open_cache", "open_run"]


def open_cache(
    reference: str | Path | None = None, cache_root: str | Path | None = None
) -> "FeatureCache":
    """A published cache.

    Args:
        reference: its folder or URL, (the beginning of) its fingerprint, or its dataset's name; by
            default the newest.
        cache_root: by default STRUCTALIGN_CACHE, else ~/.cache/structalign.

    Raises:
        StructAlignError: no such cache, or it is damaged.
    """
    from .cache.root import CacheRoot

    return CacheRoot(cache_root).find(None if reference is None else str(reference))


def open_run(
    path: str | Path | None = None,
    cache: "FeatureCache | str | None" = None,
    cache_root: str | Path | None = None,
    device: str = "auto",
) -> "Run":
    """A run, to be evaluated, searched, or used to encode texts and videos.

    Args:
        path: its folder; by default the newest under STRUCTALIGN_RUNS, else ./runs.
        cache: its cache, if it is no longer where the cache root has it.
        cache_root: by default STRUCTALIGN_CACHE, else ~/.cache/structalign.
        device: auto, cpu or cuda.

    Raises:
        StructAlignError: no run, or its cache is missing.
    """
    from .train.runs.folder import newest_run, runs_folder
    from .train.runs.run import Run
    from .verbs import with_decoder

    return with_decoder(Run.open(path or newest_run(runs_folder()), cache, cache_root, device))

"""From videos to a cache: decode each video once and cache the frozen stem's tokens."""

from typing import TYPE_CHECKING, Any

from ..core.console import Log, Progress

if TYPE_CHECKING:
    from ..cache.reader import FeatureCache


def extract(
    dataset: str | None = None,
    *,
    progress: Progress | None = None,
    note: Log | None = None,
    **options: Any,
) -> "FeatureCache":
    """Extract a dataset's tokens, unless a cache with the same fingerprint is there already.

    Args:
        dataset: a name from ``configs/datasets``, or the path of a .py file with one
            ``DatasetReader``; by default a manifest where ``root`` is given, else the demo.
        progress: called with (done, total, detail); a line on stderr by default.
        note: called with one line of text at a time, such as a warning; stderr by default.
        options: fields of ``extract.settings.ExtractOptions``, such as ``root``, and options of
            the dataset, such as a manifest's ``name``.

    Raises:
        StructAlignError: bad options or files, or more bad clips than ``max_bad`` allows; nothing
            is published then.
    """
    from .pipeline import run_extraction

    named = {} if dataset is None else {"dataset": dataset}
    return run_extraction({**named, **options}, progress, note).cache

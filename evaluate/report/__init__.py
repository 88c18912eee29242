"""Reports: the printed table, and one self-contained HTML page over finished runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .example_queries import Pictures


def write_report(
    runs: Sequence[Path],
    out: Path | None = None,
    cache_root: str | Path | None = None,
    pictures: "Pictures | None" = None,
) -> Path:
    """Write the page over some finished runs, and return its file.

    Args:
        runs: folders of finished runs of one dataset and K.
        out: the file; by default report.html, in the run's folder if there is only one run, else
            in the current folder.
        cache_root: where the caches are; by default as the command line finds it.
        pictures: makes JPEG frames of clips; without it the page shows none.

    Raises:
        StructAlignError: a folder is not a run or has no results, or the runs cannot be compared.
    """
    from ...cache.inventory import inventory
    from ...cache.root import CacheRoot
    from ...core.files import write_text
    from .finished_runs import read_runs
    from .page import make_page

    finished = read_runs(runs)
    target = out or (finished[0].path if len(finished) == 1 else Path()) / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    root = CacheRoot(cache_root)
    sizes = {entry["fingerprint"]: entry["bytes"] for entry in inventory(root) if entry["complete"]}
    write_text(target, make_page(finished, sizes, root, pictures))
    return target

"""Reports: the printed table, and one self-contained HTML page over finished runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .examples import Pictures


def write_report(
    runs: Sequence[Path],
    out: Path | None = None,
    cache_root: str | Path | None = None,
    pictures: "Pictures | None" = None,
) -> Path:
    """Write the page, by default as report.html into a single run's folder; returns its file.

    ``pictures`` makes frames of clips, as ``extract.video.thumbnails.middle_frames`` does.

    Raises:
        StructAlignError: a folder that is no run or has no results, or runs that do not belong
            in one table.
    """
    from ...cache.inventory import inventory
    from ...cache.root import CacheRoot
    from ...core.files import write_text
    from .finished_runs import read_runs
    from .html import make_page

    finished = read_runs(runs)
    target = out or (finished[0].path if len(finished) == 1 else Path()) / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    root = CacheRoot(cache_root)
    known = [entry for entry in inventory(root) if entry["complete"]]
    sizes = {entry["fingerprint"]: entry["bytes"] for entry in known}
    write_text(target, make_page(finished, sizes, root, pictures))
    return target

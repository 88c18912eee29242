"""From finished runs to one self-contained HTML page: no script, no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...cache.inventory import inventory
from ...cache.root import CacheRoot
from ...core.files import write_text
from .comparison import both_directions, by_stage, final_results
from .diagnostic_figures import drift, experts, gates, simplex
from .example_queries import Pictures, example_queries
from .finished_runs import FinishedRun, read_runs
from .forgetting_curves import curves, matrices, trade_off
from .method_bootstrap import MethodBootstrap
from .provenance import coverage, disk_space, provenance, recipes, time_spent
from .run_groups import RunGroups, group_runs
from .stream_history import stream_history
from .summary import best_method, summary


def write_report(
    runs: Sequence[Path],
    out: Path | None = None,
    cache_root: str | Path | None = None,
    pictures: Pictures | None = None,
) -> Path:
    """Write the page over some finished runs of one dataset and K, and return its file.

    Args:
        runs: the runs' folders.
        out: the file; by default report.html, in the run's folder if there is only one run, else
            in the current folder.
        cache_root: where the caches are; by default as the command line finds it.
        pictures: makes JPEG frames of clips; without it the page shows none.

    Raises:
        StructAlignError: a folder is not a run or has no results, the runs cannot be compared, or
            one is there twice.
    """
    finished = read_runs(runs)
    target = out or (finished[0].path if len(finished) == 1 else Path()) / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    root = CacheRoot(cache_root)
    sizes = {entry["fingerprint"]: entry["bytes"] for entry in inventory(root) if entry["complete"]}
    write_text(target, _page(finished, sizes, root, pictures))
    return target


def _page(
    runs: Sequence[FinishedRun], cache_bytes: Mapping[str, int], root: CacheRoot,
    pictures: Pictures | None,
) -> str:  # fmt: skip
    groups = group_runs(runs)
    bootstrap = MethodBootstrap(groups)
    best_run = groups.by_method[best_method(groups)][0]
    sections = [
        final_results(groups, bootstrap), trade_off(groups), by_stage(groups), curves(groups),
        matrices(groups), example_queries(best_run, root, pictures), stream_history(groups),
        both_directions(groups), simplex(groups), drift(groups), experts(groups), gates(groups),
        time_spent(runs), disk_space(runs, cache_bytes), coverage(runs), provenance(runs),
        recipes(runs),
    ]  # fmt: skip
    first = groups.first
    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return templates.get_template("page.html").render(
        title=f"{first['dataset']}, K = {first['tasks']}: {', '.join(groups.by_method)}",
        warnings=_warnings(groups),
        summary=summary(groups, bootstrap),
        sections=list(filter(None, sections)),
    )


def _warnings(groups: RunGroups) -> list[str]:
    """What a reader must know before looking at any figure."""
    results = [run.results for run in groups.runs]
    lines = []
    if any(result["backbone"]["random_weights"] for result in results):
        lines.append("RANDOM WEIGHTS: a dry run, the figures mean nothing.")
    if any(result["selection"] == "reference" for result in results):
        lines.append("Some runs chose their epochs on the test set (selection: reference).")
    lines += dict.fromkeys(line for result in results for line in result.get("warnings", []))
    return lines

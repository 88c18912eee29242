"""From finished runs to one self-contained HTML page: no script, no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...cache.root import CacheRoot
from .comparison import both_directions, by_stage, final_results
from .diagnostic_figures import drift, experts, gates, simplex
from .example_queries import Pictures, example_queries
from .finished_runs import FinishedRun
from .forgetting_curves import curves, matrices, trade_off
from .method_bootstrap import MethodBootstrap
from .provenance import coverage, disk_space, provenance, recipes, time_spent
from .run_groups import RunGroups, group_runs
from .stream_history import stream_history
from .summary import best_method, summary


def make_page(
    runs: Sequence[FinishedRun], cache_bytes: Mapping[str, int], root: CacheRoot,
    pictures: Pictures | None = None,
) -> str:  # fmt: skip
    """The report over runs of one dataset and K as HTML text.

    Raises:
        StructAlignError: a run is there twice.
    """
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

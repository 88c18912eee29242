"""From finished runs to one HTML page: no script, no network, everything escaped."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from ...cache.root import CacheRoot
from .certainty import Certainty
from .examples import Pictures, examples
from .finished_runs import FinishedRun, group_runs
from .geometry import drift, experts, gates, simplex
from .growth import growth
from .layout import (
    Groups,
    Read,
    contents,
    grid,
    line_figure,
    means,
    section,
    task_names,
    task_numbers,
)
from .learning import curves, matrices, trade_off
from .origin import bytes_kept, coverage, origin, repeating, time_spent
from .summary import best_method, summary, with_bounds
from .tables import html_table, number, spread

PUBLISHED = Path(__file__).parents[2] / "configs" / "published.yaml"
STYLE = (Path(__file__).parent / "html.css").read_text()
HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
)
RECALLS = ("R@1", "R@5", "R@10", "MedR", "MeanR")


def make_page(
    runs: Sequence[FinishedRun],
    cache_bytes: dict[str, int],
    root: CacheRoot,
    pictures: Pictures | None = None,
) -> str:
    """The report as HTML text.

    Args:
        runs: of one dataset and K.
        cache_bytes: sizes of known caches, by fingerprint.
        root: where caches are, for the clips' names and videos.
        pictures: JPEG frames of clips, None for those whose video is not there.
    """
    first = runs[0].results
    groups = group_runs(runs)
    certainty = Certainty(groups)
    sections = [
        _results(groups, first, certainty), trade_off(groups, first), _by_stage(groups, first),
        curves(groups, first), matrices(groups, first),
        examples(groups[best_method(groups)][0], root, pictures), growth(groups, first),
        _directions(groups), simplex(groups, first), drift(groups, first), experts(groups),
        gates(groups), time_spent(runs), bytes_kept(runs, cache_bytes), coverage(runs),
        origin(runs), repeating(runs),
    ]  # fmt: skip
    title = escape(f"{first['dataset']}, K = {first['tasks']}: {', '.join(groups)}")
    told = _warnings(groups) + summary(groups, first, certainty)
    body = f"<main><h1>{title}</h1>{told}{contents(sections)}{''.join(sections)}</main>"
    return f"{HEAD}<title>{title}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"


def _final(runs: list[FinishedRun], *keys: str) -> list[float | None]:
    """A figure after the last task, of each run."""
    found = []
    for run in runs:
        value: Any = run.results["final"]
        for key in keys:
            value = value[key]
        found.append(value)
    return found


def _warnings(groups: Groups) -> str:
    """What a reader must know before any figure."""
    everything = [run.results for runs in groups.values() for run in runs]
    told = []
    if any(results["backbone"]["random_weights"] for results in everything):
        told.append("RANDOM WEIGHTS: a dry run, the figures mean nothing.")
    if any(results["selection"] == "reference" for results in everything):
        told.append("Some runs chose their epochs on the test set (selection: reference).")
    told += dict.fromkeys(line for one in everything for line in one.get("warnings", []))
    return "".join(f'<p class="warning">{escape(line)}</p>' for line in told)


def _results(groups: Groups, first: dict[str, Any], certainty: Certainty) -> str:
    head = ["method", "seeds", "R@1", "R@5", "R@10", "MedR", "BWF, lost is above 0",
            "BWF, re-encoded"]  # fmt: skip
    rows = []
    for method, runs in groups.items():
        bounds = {name: certainty.interval(name, method) for name in ("R@1", "BWF")}
        stored = _final(runs, "BWF_stored")
        rows.append([
            method, str(len(runs)), with_bounds(_final(runs, "t2v", "R@1"), bounds["R@1"]),
            *(spread(_final(runs, "t2v", name)) for name in RECALLS[1:4]),
            with_bounds(stored, bounds["BWF"], 2), spread(_final(runs, "BWF_reencoded"), 2),
        ])  # fmt: skip
    before = [run.stage(first["tasks"]).get("zero_shot") or {} for run in next(iter(
        groups.values()))]  # fmt: skip
    figures = [spread([one.get(name) for one in before]) for name in RECALLS[:4]]
    rows.append(["zero-shot (before any training)", "", *figures, "", ""])
    published = yaml.safe_load(PUBLISHED.read_text()).get(first["dataset"], {})
    for name, (r1, bwf) in published.get(first["tasks"], {}).items():
        rows.append([f"{name} (published)", "", number(r1, 2), "", "", "", number(bwf, 2), ""])
    final = first["final"]
    text = (
        f"Text to video over all {final['clips']} clips of the {first['tasks']} tasks after the "
        f"last one ({final['queries']} captions; {first['evaluated_on']}), old clips as they were "
        "stored. In brackets 95% bootstrap intervals, else ± standard deviation over seeds. BWF is "
        "backward forgetting within each task: above 0 old tasks lost, below 0 they gained."
    )
    return section("Results", text, html_table(head, rows))


def _by_stage(groups: Groups, first: dict[str, Any]) -> str:
    names = task_names(groups)
    recall: Read = lambda run, i: (run.stage(i).get("t2v") or {}).get("R@1")  # noqa: E731
    before: Read = lambda run, i: (run.stage(i).get("zero_shot") or {}).get("R@1")  # noqa: E731
    forgetting: Read = lambda run, i: run.stage(i).get("BWF_stored")  # noqa: E731
    untrained = next(iter(means(groups, task_numbers(first), before).values()))
    reference = None if None in untrained else ("zero-shot, the same clips", untrained)
    parts = []
    for label, unit, read, line in (
        ("R@1", "percent", recall, reference), ("BWF", "points, lost is above 0", forgetting, None)
    ):  # fmt: skip
        caption = f"{label} over all tasks seen, by stage."
        series, axes = means(groups, task_numbers(first), read), ("after", f"{label}, {unit}")
        parts.append(line_figure(f"{label} by stage", series, names, axes, caption, reference=line))
    text = (
        "Over all tasks seen so far, so the gallery grows from left to right. The grey line is the "
        "pre-trained model over the same clips, of the first method's runs."
    )
    return section("Stage by stage", text, grid(*parts))


def _directions(groups: Groups) -> str:
    sides = (("t2v", "text to video"), ("v2t", "video to text"))
    rows = [
        [method, words, *(spread(_final(runs, side, name)) for name in RECALLS)]
        for method, runs in groups.items()
        for side, words in sides
    ]
    table = html_table(["method", "direction", *RECALLS], rows)
    return section("Both directions", "After the last task, over all tasks.", table)

"""Results as printed tables: figures by stage, and the task matrix of R@1."""

import textwrap
from typing import Any

from ...core.console import text_table
from ..metrics import METRICS, SCORE_METRICS

WIDTH = 80  # characters
IN_A_ROW = 11  # tasks: a line of 75 characters


def results_table(results: dict[str, Any]) -> str:
    """The task matrix (R@1 within each task) and, per stage, the figures over all tasks seen."""
    tasks, rows = results["tasks"], results["matrix"]["r1"]
    count = f"{tasks} task{'s' * (tasks > 1)}"
    head = f"{results['method']} on {results['dataset']}, {count}, seed {results['seed']}"
    chosen = " (best epoch on the test set)" * (results["selection"] == "reference")
    notes = [
        f"selection: {results['selection']}{chosen}",
        f"evaluated on: {results['evaluated_on']}",
        f"coverage: {100 * results['coverage']:.1f}%",
    ]
    if results["backbone"]["random_weights"]:
        notes.append("RANDOM WEIGHTS: a dry run, the figures mean nothing")
    lines = [head, "; ".join(notes), "", "over all tasks seen (t2v, stored gallery)"]
    figures = [
        [
            _name(stage["stage"]),
            *(metric.format(t2v.get(metric.name)) for metric in METRICS),
            _number(stage["BWF"], 2),
        ]
        for stage in results["stages"]
        if (t2v := stage["t2v"]) is not None
    ]
    titles = ["stage", *(metric.title for metric in METRICS), "BWF ↓"]
    lines += text_table([titles, *figures], ">").splitlines()
    for first in range(0, tasks, IN_A_ROW):
        shown = slice(first, first + IN_A_ROW)
        lines += ["", f"R@1 within each task, {results['gallery']} gallery"]
        cells = [
            [_name(stage), *(_number(value, 1) for value in row[shown])]
            for stage, row in enumerate(rows)
            if any(value is not None for value in row[shown])
        ]
        titles = ["stage", *(f"t{task}" for task in range(1, tasks + 1)[shown])]
        lines += text_table([titles, *cells], ">", gap=1).splitlines()
    final = results["final"]
    v2t = final["v2t"]
    measured = [f"{m.name} {m.format(v2t[m.name])}" for m in METRICS if m.name in v2t]
    lines += ["", f"final v2t: {', '.join(measured)}"]
    if final["BWF_stored"] is not None:
        transfer = "" if final["FWT"] is None else f"; forward transfer {final['FWT']:.2f}"
        reencoded = _number(final["BWF_reencoded"], 2) or "not measured"
        lines.append(
            f"BWF: stored gallery {final['BWF_stored']:.2f}, re-encoded {reencoded}{transfer} "
            "(all within the task)"
        )
    for metric in SCORE_METRICS:
        if values := final.get(metric.name):
            lines.append(metric.sentence.format(**values))
    if results["ties"]:
        lines.append(f"{results['ties']} queries tie; they count with their expected rank")
    return "\n".join(part for line in [*lines, *results.get("warnings", [])] for part in _fit(line))


def _fit(line: str) -> list[str]:
    return [line] if len(line) <= WIDTH else textwrap.wrap(line, WIDTH, subsequent_indent="  ")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _name(stage: int) -> str:
    return "zero-shot" if stage == 0 else str(stage)

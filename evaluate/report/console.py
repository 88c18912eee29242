"""Results as a table that a person can read."""

import textwrap
from typing import Any

from ..metrics import METRICS, SCORE_METRICS

WIDTH = 80  # characters
IN_A_ROW = 11  # tasks: a line of 75 characters


def results_table(results: dict[str, Any]) -> str:
    """The task matrix (R@1 within each task) and, per stage, the figures over all tasks seen."""
    tasks, rows = results["tasks"], results["matrix"]["r1"]
    count = f"{tasks} task{'s' * (tasks > 1)}"
    head = f"{results['method']} on {results['dataset']}, {count}, seed {results['seed']}"
    chosen = (
        "reference (best epoch on the test set)"
        if results["selection"] == "reference"
        else results["selection"]
    )
    notes = [
        f"selection: {chosen}",
        f"evaluated on: {results['evaluated_on']}",
        f"coverage: {100 * results['coverage']:.1f}%",
    ]
    if results["backbone"]["random_weights"]:
        notes.append("RANDOM WEIGHTS: a dry run, the figures mean nothing")
    lines = [head, "; ".join(notes), "", "over all tasks seen (t2v, stored gallery)"]
    widths = {metric: max(7, len(metric.title) + 2) for metric in METRICS}
    titles = "".join(f"{metric.title:>{width}}" for metric, width in widths.items())
    lines.append(f"{'stage':>9}{titles}{'BWF ↓':>7}")
    for stage in results["stages"]:
        t2v = stage["t2v"]
        if t2v is None:
            continue
        forgetting = f"{stage['BWF']:7.2f}" if stage["BWF"] is not None else ""
        figures = "".join(f"{m.format(t2v.get(m.name)):>{width}}" for m, width in widths.items())
        lines.append(f"{_name(stage['stage']):>9}{figures}{forgetting}")
    for first in range(0, tasks, IN_A_ROW):
        shown = slice(first, first + IN_A_ROW)
        titles = "".join(f"{f't{task}':>6}" for task in range(1, tasks + 1)[shown])
        lines += ["", f"R@1 within each task, {results['gallery']} gallery"]
        lines.append(f"{'stage':>9}{titles}")
        for number, row in enumerate(rows):
            cells = "".join(f"{value:6.1f}" if value is not None else "" for value in row[shown])
            if cells:
                lines.append(f"{_name(number):>9}{cells}")
    final = results["final"]
    v2t = final["v2t"]
    measured = [f"{m.name} {m.format(v2t[m.name])}" for m in METRICS if m.name in v2t]
    lines += ["", f"final v2t: {', '.join(measured)}"]
    if final["BWF_stored"] is not None:
        transfer = "" if final["FWT"] is None else f"; forward transfer {final['FWT']:.2f}"
        anew = final["BWF_reencoded"]
        again = "not measured" if anew is None else f"{anew:.2f}"
        lines.append(
            f"BWF: stored gallery {final['BWF_stored']:.2f}, re-encoded {again}{transfer} "
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


def _name(stage: int) -> str:
    return "zero-shot" if stage == 0 else str(stage)

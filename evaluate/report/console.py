"""Results as a table that a person can read."""

import textwrap
from typing import Any

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
    lines.append(f"{'stage':>9}{'R@1':>8}{'R@5':>6}{'R@10':>6}{'MedR':>7}{'BWF':>7}")
    for stage in results["stages"]:
        t2v = stage["t2v"]
        if t2v is None:
            continue
        forgetting = f"{stage['BWF']:7.2f}" if stage["BWF"] is not None else ""
        figures = f"{t2v['R@1']:8.2f}{t2v['R@5']:6.1f}{t2v['R@10']:6.1f}{t2v['MedR']:7.1f}"
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
    lines += [
        "",
        (
            f"final v2t: R@1 {v2t['R@1']:.2f}, R@5 {v2t['R@5']:.2f}, R@10 {v2t['R@10']:.2f}, MedR "
            f"{v2t['MedR']:.1f}"
        ),
    ]
    if final["BWF_stored"] is not None:
        transfer = "" if final["FWT"] is None else f"; forward transfer {final['FWT']:.2f}"
        anew = final["BWF_reencoded"]
        again = "not measured" if anew is None else f"{anew:.2f}"
        lines.append(
            f"BWF: stored gallery {final['BWF_stored']:.2f}, re-encoded {again}{transfer} "
            "(all within the task)"
        )
    if final["twins"]:
        lines.append(
            f"motion twins told apart: {final['twins']['told_apart']:.1f}% of "
            f"{final['twins']['captions']} (chance 50)"
        )
    if results["ties"]:
        lines.append(f"{results['ties']} queries tie; they count with their expected rank")
    return "\n".join(part for line in [*lines, *results.get("warnings", [])] for part in _fit(line))


def _fit(line: str) -> list[str]:
    return [line] if len(line) <= WIDTH else textwrap.wrap(line, WIDTH, subsequent_indent="  ")


def _name(stage: int) -> str:
    return "zero-shot" if stage == 0 else str(stage)

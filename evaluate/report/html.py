"""From finished runs to one HTML page: no script, no network, everything escaped."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from .figures import heat_map, line_chart
from .finished_runs import FinishedRun
from .tables import html_table, mean, number, spread

PUBLISHED = Path(__file__).parents[2] / "configs" / "published.yaml"
STYLE = (Path(__file__).parent / "html.css").read_text()
Group = dict[str, list[FinishedRun]]


def make_page(runs: Sequence[FinishedRun], cache_bytes: dict[str, int]) -> str:
    """The report as HTML text.

    ``cache_bytes`` has the size of the caches that are at hand, by fingerprint.
    """
    first = runs[0].results
    groups: Group = {}
    for run in runs:
        groups.setdefault(run.results["method"], []).append(run)
    sections = [
        _headline(groups, first), _by_stage(groups, first), _matrices(groups, first),
        _by_task(groups, first), _directions(groups),
        _simplex(groups, first), _drift(groups, first), _experts(groups), _gates(groups),
        _time(runs), _bytes(runs, cache_bytes),
        _coverage(runs), _configuration(runs),
    ]  # fmt: skip
    title = f"{first['dataset']}, K = {first['tasks']}: {', '.join(groups)}"
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1">'
    )
    return (
        f"{head}<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"{''.join(section for section in sections if section)}</main></body></html>\n"
    )


def _section(title: str, text: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>{''.join(parts)}</section>"


def _figure(svg: str, caption: str, table: str = "") -> str:
    shown = f"<details><summary>Numbers</summary>{table}</details>" if table else ""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>{shown}" if svg else ""


def _final(runs: list[FinishedRun], *keys: str) -> list[float | None]:
    """A figure after the last task, of each run."""
    found = []
    for run in runs:
        value: Any = run.results["final"]
        for key in keys:
            value = value[key]
        found.append(value)
    return found


def _headline(groups: Group, first: dict[str, Any]) -> str:
    head = ["method", "seeds", "R@1", "R@5", "R@10", "MedR", "BWF", "BWF, re-encoded"]
    rows = []
    for method, runs in groups.items():
        names = ("R@1", "R@5", "R@10", "MedR")
        figures = [spread(_final(runs, "t2v", name)) for name in names]
        forgetting = [spread(_final(runs, f"BWF_{name}"), 2) for name in ("stored", "reencoded")]
        rows.append([method, str(len(runs)), *figures, *forgetting])
    published = (
        yaml.safe_load(PUBLISHED.read_text()).get(first["dataset"], {}).get(first["tasks"], {})
    )
    rows += [
        [f"{name} (published)", "", number(r1, 2), "", "", "", number(bwf, 2), ""]
        for name, (r1, bwf) in published.items()
    ]
    warnings = []
    if any(run.results["backbone"]["random_weights"] for group in groups.values() for run in group):
        warnings.append("RANDOM WEIGHTS: a dry run, the figures mean nothing.")
    if any(run.results["selection"] == "reference" for group in groups.values() for run in group):
        warnings.append("Some runs chose their epochs on the test set (selection: reference).")
    final = first["final"]
    text = (
        f"Text to video over all {final['clips']} clips of the {first['tasks']} tasks after the "
        f"last one ({final['queries']} captions; "
        f"{first['evaluated_on']}), old clips as they were stored; mean ± standard deviation over "
        "seeds. "
        "BWF is backward forgetting within each task; below 0 old tasks gained."
    )
    warned = "".join(f'<p class="warning">{escape(line)}</p>' for line in warnings)
    return _section("Results", text, warned, html_table(head, rows))


def _by_stage(groups: Group, first: dict[str, Any]) -> str:
    names = ["zero-shot", *(str(stage) for stage in range(1, first["tasks"] + 1))]
    parts = []
    for label, read in (
        ("R@1", lambda stage: stage["t2v"]["R@1"]),
        ("BWF", lambda stage: stage["BWF_stored"]),
    ):
        series = {
            method: [
                mean([read(stage) for run in runs if (stage := run.stage(i))])
                for i in range(len(names))
            ]
            for method, runs in groups.items()
        }
        rows = [
            [name, *(number(line[i], 2) for line in series.values())]
            for i, name in enumerate(names)
        ]
        svg = line_chart(
            f"{label} by stage",
            series,
            names,
            "after task",
            f"{label}, percent" if label == "R@1" else "BWF, points",
        )
        parts.append(
            _figure(
                svg,
                f"{label} over all tasks seen, by stage.",
                html_table(["after task", *series], rows),
            )
        )
    return _section(
        "Stage by stage",
        (
            "Over all tasks seen so far, so the gallery grows from left to right; stage 0 is "
            "zero-shot on all tasks."
        ),
        *parts,
    )


def _matrices(groups: Group, first: dict[str, Any]) -> str:
    tasks = [f"t{task}" for task in range(1, first["tasks"] + 1)]
    names = ["zero-shot", *(f"after {task}" for task in tasks)]
    parts = []
    for method, runs in groups.items():
        rows = [
            [mean([_cell(run, i, j) for run in runs]) for j in range(len(tasks))]
            for i in range(len(names))
        ]
        table = html_table(
            ["", *tasks],
            [
                [name, *(number(value) for value in row)]
                for name, row in zip(names, rows, strict=True)
            ],
        )
        parts.append(
            _figure(
                heat_map(f"task matrix of {method}", rows, names, tasks),
                f"{method}: R@1 within each task.",
                table,
            )
        )
    return _section(
        "Task matrix",
        (
            f"Row: the stage; column: the task; old clips {first['gallery']}. "
            "Reading down a column shows forgetting."
        ),
        *parts,
    )


def _by_task(groups: Group, first: dict[str, Any]) -> str:
    tasks = range(1, first["tasks"])
    names = [f"t{task}" for task in tasks]

    def drop(run: FinishedRun, task: int) -> float | None:
        then, now = _cell(run, task, task - 1), _cell(run, len(tasks) + 1, task - 1)
        return None if then is None or now is None else then - now

    series = {
        method: [mean([drop(run, task) for run in runs]) for task in tasks]
        for method, runs in groups.items()
    }
    rows = [
        [name, *(number(line[i], 1) for line in series.values())] for i, name in enumerate(names)
    ]
    svg = line_chart("forgetting by task", series, names, "task", "R@1 lost, points")
    text = "R@1 within a task just after it was learnt, minus R@1 at the end. Above 0 is forgotten."
    return (
        _section(
            "Forgetting by task",
            text,
            _figure(svg, "Forgetting by task.", html_table(["task", *series], rows)),
        )
        if names
        else ""
    )


def _directions(groups: Group) -> str:
    head = ["method", "direction", "R@1", "R@5", "R@10", "MedR", "MeanR"]
    rows = [
        [method, words, *(spread(_final(runs, side, name)) for name in head[2:])]
        for method, runs in groups.items()
        for side, words in (("t2v", "text to video"), ("v2t", "video to text"))
    ]
    return _section(
        "Both directions", "After the last task, over all tasks.", html_table(head, rows)
    )


def _cell(run: FinishedRun, stage: int, task: int) -> float | None:
    """R@1 within a task at a stage; None where the stream was shorter."""
    matrix = run.results["matrix"]["r1"]
    return matrix[stage][task] if stage < len(matrix) and task < len(matrix[stage]) else None


def _geometry(run: FinishedRun, stage: int) -> dict[str, Any]:
    if stage < 0:
        stage += len(run.results["stages"])
    return run.stage(stage).get("geometry") or {}


def _simplex(groups: Group, first: dict[str, Any]) -> str:
    stages = range(1, first["tasks"] + 1)
    names = [str(stage) for stage in stages]
    parts = []
    for side in ("text", "video"):
        series = {
            method: [
                mean([(_geometry(run, stage).get(side) or {}).get("deviation") for run in runs])
                for stage in stages
            ]
            for method, runs in groups.items()
        }
        svg = line_chart(
            f"deviation from the simplex, {side}",
            series,
            names,
            "after task",
            "rms deviation of the cosines",
        )
        rows = []
        for method, runs in groups.items():
            last = _geometry(runs[0], first["tasks"]).get(side)
            if last:
                rows.append(
                    [
                        method,
                        str(last["classes"]),
                        number(last["ideal"], 3),
                        *(number(q, 3) for q in last["quantiles"]),
                    ]
                )
        head = [
            "method (first seed, last stage)",
            "classes",
            "ideal",
            "least",
            "quarter",
            "median",
            "three quarters",
            "greatest",
        ]
        table = html_table(head, rows) + html_table(
            ["after task", *series],
            [[n, *(number(s[i], 3) for s in series.values())] for i, n in enumerate(names)],
        )
        parts.append(
            _figure(svg, f"{side.capitalize()}: how far class means are from a simplex.", table)
        )
    text = (
        "Cosines between the centred means of the seen classes' test embeddings (captions by "
        "their own task's path, clips as stored). In a simplex "
        "equiangular tight frame of C classes each is -1 / (C - 1); shown is the root mean square "
        "deviation from that. Lower is nearer."
    )
    return _section("Against the ideal simplex", text, *parts) if any(parts) else ""


def _drift(groups: Group, first: dict[str, Any]) -> str:
    tasks = [f"t{task}" for task in range(1, first["tasks"])]
    names = [f"after t{stage}" for stage in range(2, first["tasks"] + 1)]
    parts = []
    for method, runs in groups.items():
        found = [
            [_geometry(run, stage).get("drift") or [] for run in runs]
            for stage in range(2, first["tasks"] + 1)
        ]
        rows = [
            [mean([d[j] if j < len(d) else None for d in stage]) for j in range(len(tasks))]
            for stage in found
        ]
        table = html_table(
            ["", *tasks],
            [
                [name, *(number(value, 3) for value in row)]
                for name, row in zip(names, rows, strict=True)
            ],
        )
        parts.append(
            _figure(
                heat_map(f"drift of {method}", rows, names, tasks, 3),
                f"{method}: cosine of old clips, stored and encoded again.",
                table,
            )
        )
    text = (
        "Mean cosine between an old task's frame embeddings as stored and as the model of a later "
        "stage makes them. 1 is no drift."
    )
    return _section("Drift of old tasks", text, *parts) if any(parts) else ""


def _experts(groups: Group) -> str:
    parts = []
    for method, runs in groups.items():
        last = [_geometry(run, len(run.results["stages"]) - 1).get("experts") or [] for run in runs]
        if not last[0]:
            continue
        shape = range(len(last[0])), range(len(last[0][0]))
        rows: list[list[float | None]] = [
            [mean([run[i][j] for run in last]) for j in shape[1]] for i in shape[0]
        ]
        tasks, experts = [f"t{i + 1}" for i in shape[0]], [f"e{j + 1}" for j in shape[1]]
        table = html_table(
            ["", *experts],
            [
                [name, *(number(value, 2) for value in row)]
                for name, row in zip(tasks, rows, strict=True)
            ],
        )
        parts.append(
            _figure(
                heat_map(f"experts of {method}", rows, tasks, experts, 2),
                f"{method}: share of each expert in a task's captions.",
                table,
            )
        )
    text = (
        "Mean routing weight over text blocks and projections, last stage, up to 64 test captions "
        "a task. Task 1 uses its first expert alone."
    )
    return _section("Use of the experts", text, *parts) if parts else ""


def _gates(groups: Group) -> str:
    blocks = sorted(
        {
            int(block)
            for runs in groups.values()
            for block in (_geometry(runs[0], -1).get("gates") or {})
        }
    )
    if not blocks:
        return ""
    names = [str(block) for block in blocks]
    series = {
        method: [
            mean([(_geometry(run, -1).get("gates") or {}).get(name) for run in runs])
            for name in names
        ]
        for method, runs in groups.items()
        if _geometry(runs[0], -1).get("gates")
    }
    svg = line_chart("gates of the frame fusion adapters", series, names, "vision block", "alpha")
    table = html_table(
        ["vision block", *series],
        [[name, *(number(line[i], 4) for line in series.values())] for i, name in enumerate(names)],
    )
    text = (
        "How much of each block's attention comes from the neighbouring frame after the last "
        "task: alpha, which starts at 0."
    )
    return _section("Frame fusion gates", text, _figure(svg, "Gate values by vision block.", table))


def _time(runs: Sequence[FinishedRun]) -> str:
    rows = []
    for run in runs:
        evaluated = sum(stage["seconds"] for stage in run.results["stages"])
        rows.append(
            [
                run.name,
                number(sum(run.training.values()) or None, 0),
                number(evaluated, 0),
                number(run.results["stages"][-1]["seconds"], 1),
            ]
        )
    head = ["run", "training, s", "evaluation, s", "of it the last stage"]
    return _section(
        "Where time went",
        "Seconds of training epochs, and of measuring all stages.",
        html_table(head, rows),
    )


def _bytes(runs: Sequence[FinishedRun], cache_bytes: dict[str, int]) -> str:
    kinds = list(runs[0].bytes)
    rows = [
        [
            run.name,
            number(size / 1e6 if (size := cache_bytes.get(run.results["fingerprint"])) else None),
            *(number(run.bytes[kind] / 1e6) for kind in kinds),
        ]
        for run in runs
    ]
    return _section("Where bytes went", "Megabytes.", html_table(["run", "cache", *kinds], rows))


def _coverage(runs: Sequence[FinishedRun]) -> str:
    rows = [
        [
            run.name,
            f"{100 * run.results['coverage']:.1f}%",
            str(len(run.results.get("quarantined", []))),
        ]
        for run in runs
    ]
    bad = {
        (entry["clip"], entry["reason"], entry["path"], entry["message"])
        for run in runs
        for entry in run.results.get("quarantined", [])
    }
    listed = (
        html_table(
            ["clip", "reason", "file", "what the decoder said"],
            [list(entry) for entry in sorted(bad)[:200]],
        )
        if bad
        else ""
    )
    return _section(
        "Coverage",
        "Test clips that were searched, of those in the catalog; clips in quarantine.",
        html_table(["run", "coverage", "bad"], rows),
        listed,
    )


def _configuration(runs: Sequence[FinishedRun]) -> str:
    parts = []
    for run in runs:
        settings = "\n".join(
            f"{key}: {value}"
            for key, value in {**run.config, **run.config["settings"]}.items()
            if key != "settings"
        )
        parts.append(
            f"<h3>{escape(run.name)}</h3><pre>{escape(run.command)}</pre><details><summary>Settings</summary><pre>{escape(settings)}</pre></details>"
        )
    return _section(
        "How to repeat it", "The command of each run, and its whole configuration.", *parts
    )

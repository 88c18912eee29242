"""From finished runs to one HTML page: no script, no network, everything escaped."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from .figures import Line
from .finished_runs import FinishedRun, group_runs
from .growth import growth
from .layout import Groups, Read, cell, heat_figure, line_figure, means, section, task_numbers
from .tables import html_table, mean, number, spread

PUBLISHED = Path(__file__).parents[2] / "configs" / "published.yaml"
STYLE = (Path(__file__).parent / "html.css").read_text()
HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
)
RECALLS = ("R@1", "R@5", "R@10", "MedR", "MeanR")


def make_page(runs: Sequence[FinishedRun], cache_bytes: dict[str, int]) -> str:
    """The report as HTML text; ``cache_bytes``: sizes of known caches, by fingerprint."""
    first = runs[0].results
    groups = group_runs(runs)
    sections = [
        _headline(groups, first), _by_stage(groups, first), _matrices(groups, first),
        _by_task(groups, first), growth(groups, first), _directions(groups),
        _simplex(groups, first), _drift(groups, first), _experts(groups), _gates(groups),
        _time(runs), _bytes(runs, cache_bytes), _coverage(runs), _origin(runs),
        _configuration(runs),
    ]  # fmt: skip
    title = escape(f"{first['dataset']}, K = {first['tasks']}: {', '.join(groups)}")
    body = f"<main><h1>{title}</h1>{''.join(sections)}</main>"
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


def _geometry(run: FinishedRun, stage: int) -> dict[str, Any]:
    """The diagnostics of a stage; of the last for -1."""
    last = len(run.results["stages"]) - 1
    return run.stage(last if stage < 0 else stage).get("geometry") or {}


def _headline(groups: Groups, first: dict[str, Any]) -> str:
    head = ["method", "seeds", *RECALLS[:4], "BWF", "BWF, re-encoded"]
    rows = []
    for method, runs in groups.items():
        figures = [spread(_final(runs, "t2v", name)) for name in RECALLS[:4]]
        forgetting = [spread(_final(runs, f"BWF_{name}"), 2) for name in ("stored", "reencoded")]
        rows.append([method, str(len(runs)), *figures, *forgetting])
    published = yaml.safe_load(PUBLISHED.read_text()).get(first["dataset"], {})
    for name, (r1, bwf) in published.get(first["tasks"], {}).items():
        rows.append([f"{name} (published)", "", number(r1, 2), "", "", "", number(bwf, 2), ""])
    everything = [run.results for runs in groups.values() for run in runs]
    warnings = []
    if any(results["backbone"]["random_weights"] for results in everything):
        warnings.append("RANDOM WEIGHTS: a dry run, the figures mean nothing.")
    if any(results["selection"] == "reference" for results in everything):
        warnings.append("Some runs chose their epochs on the test set (selection: reference).")
    warnings += dict.fromkeys(line for one in everything for line in one.get("doubts", []))
    final = first["final"]
    text = (
        f"Text to video over all {final['clips']} clips of the {first['tasks']} tasks after the "
        f"last one ({final['queries']} captions; {first['evaluated_on']}), old clips as they were "
        "stored; mean ± standard deviation over seeds. BWF is backward forgetting within each "
        "task; below 0 old tasks gained."
    )
    warned = "".join(f'<p class="warning">{escape(line)}</p>' for line in warnings)
    return section("Results", text, warned, html_table(head, rows))


def _by_stage(groups: Groups, first: dict[str, Any]) -> str:
    names = [str(task) for task in task_numbers(first)]
    recall: Read = lambda run, i: (run.stage(i).get("t2v") or {}).get("R@1")  # noqa: E731
    before: Read = lambda run, i: (run.stage(i).get("zero_shot") or {}).get("R@1")  # noqa: E731
    forgetting: Read = lambda run, i: run.stage(i).get("BWF_stored")  # noqa: E731
    untrained = next(iter(means(groups, task_numbers(first), before).values()))
    reference = None if None in untrained else ("zero-shot, the same clips", untrained)
    parts = []
    for label, unit, read, line in (
        ("R@1", "percent", recall, reference), ("BWF", "points", forgetting, None)
    ):  # fmt: skip
        caption = f"{label} over all tasks seen, by stage."
        series, axes = means(groups, task_numbers(first), read), ("after task", f"{label}, {unit}")
        parts.append(line_figure(f"{label} by stage", series, names, axes, caption, reference=line))
    text = (
        "Over all tasks seen so far, so the gallery grows from left to right. The grey line is the "
        "pre-trained model over the same clips, of the first method's runs."
    )
    return section("Stage by stage", text, *parts)


def _matrices(groups: Groups, first: dict[str, Any]) -> str:
    tasks = [f"t{task}" for task in task_numbers(first)]
    names, stages = ["zero-shot", *(f"after {task}" for task in tasks)], [0, *task_numbers(first)]
    parts = []
    for method, runs in groups.items():
        rows = [
            [mean([cell(run, s, t) for run in runs]) for t in task_numbers(first)] for s in stages
        ]
        caption = f"{method}: R@1 within each task."
        parts.append(heat_figure(f"task matrix of {method}", rows, names, tasks, caption))
    text = f"Row: the stage; column: the task; old clips {first['gallery']}."
    return section("Task matrix", f"{text} Reading down a column shows forgetting.", *parts)


def _by_task(groups: Groups, first: dict[str, Any]) -> str:
    def drop(run: FinishedRun, task: int) -> float | None:
        then, now = cell(run, task, task), cell(run, first["tasks"], task)
        return None if then is None or now is None else then - now

    old = task_numbers(first)[:-1]
    names, series = [f"t{task}" for task in old], means(groups, old, drop)
    axes = ("task", "R@1 lost, points")
    chart = line_figure("forgetting by task", series, names, axes, "Forgetting by task.", 1)
    text = "R@1 within a task just after it was learnt, minus R@1 at the end. Above 0 is forgotten."
    return section("Forgetting by task", text, chart)


def _directions(groups: Groups) -> str:
    sides = (("t2v", "text to video"), ("v2t", "video to text"))
    rows = [
        [method, words, *(spread(_final(runs, side, name)) for name in RECALLS)]
        for method, runs in groups.items()
        for side, words in sides
    ]
    table = html_table(["method", "direction", *RECALLS], rows)
    return section("Both directions", "After the last task, over all tasks.", table)


def _simplex(groups: Groups, first: dict[str, Any]) -> str:
    names = [str(stage) for stage in task_numbers(first)]
    head = ["method (first seed, last stage)", "classes", "ideal", "least", "quarter", "median",
            "three quarters", "greatest"]  # fmt: skip
    parts = []
    for side in ("text", "video"):

        def deviation(run: FinishedRun, stage: int, side: str = side) -> float | None:
            return (_geometry(run, stage).get(side) or {}).get("deviation")

        rows = []
        for method, runs in groups.items():
            if last := _geometry(runs[0], first["tasks"]).get(side):
                cosines = [number(value, 3) for value in (last["ideal"], *last["quantiles"])]
                rows.append([method, str(last["classes"]), *cosines])
        axes = ("after task", "rms deviation of the cosines")
        parts.append(
            line_figure(
                f"deviation from the simplex, {side}",
                means(groups, task_numbers(first), deviation), names, axes,
                f"{side.capitalize()}: how far class means are from a simplex.", 3,
                html_table(head, rows),
            )
        )  # fmt: skip
    text = (
        "Cosines between the centred means of the seen classes' test embeddings (captions by their "
        "own task's path, clips as stored). In a simplex equiangular tight frame of C classes each "
        "is -1 / (C - 1); shown is the root mean square deviation from that. Lower is nearer."
    )
    return section("Against the ideal simplex", text, *parts)


def _drift(groups: Groups, first: dict[str, Any]) -> str:
    tasks = [f"t{task}" for task in task_numbers(first)[:-1]]
    later = task_numbers(first)[1:]
    names = [f"after t{stage}" for stage in later]
    parts = []
    for method, runs in groups.items():
        found = [[_geometry(run, stage).get("drift") or [] for run in runs] for stage in later]
        rows = [
            [mean([d[j] if j < len(d) else None for d in stage]) for j in range(len(tasks))]
            for stage in found
        ]
        caption = f"{method}: cosine of old clips, stored and encoded again."
        parts.append(heat_figure(f"drift of {method}", rows, names, tasks, caption, 3))
    text = (
        "Mean cosine between an old task's frame embeddings as stored and as the model of a later "
        "stage makes them. 1 is no drift."
    )
    return section("Drift of old tasks", text, *parts)


def _experts(groups: Groups) -> str:
    parts = []
    for method, runs in groups.items():
        last = [_geometry(run, -1).get("experts") or [] for run in runs]
        if not last[0]:
            continue
        tasks, experts = range(len(last[0])), range(len(last[0][0]))
        rows: list[Line] = [[mean([run[i][j] for run in last]) for j in experts] for i in tasks]
        names, columns = [f"t{i + 1}" for i in tasks], [f"e{j + 1}" for j in experts]
        caption = f"{method}: share of each expert in a task's captions."
        parts.append(heat_figure(f"experts of {method}", rows, names, columns, caption, 2))
    text = (
        "Mean routing weight over text blocks and projections, last stage, up to 64 test captions "
        "a task. Task 1 uses its first expert alone."
    )
    return section("Use of the experts", text, *parts)


def _gates(groups: Groups) -> str:
    adapted = {m: runs for m, runs in groups.items() if _geometry(runs[0], -1).get("gates")}
    blocks = sorted({int(b) for runs in adapted.values() for b in _geometry(runs[0], -1)["gates"]})
    gate: Read = lambda run, block: _geometry(run, -1)["gates"].get(str(block))  # noqa: E731
    series, names = means(adapted, blocks, gate), [str(block) for block in blocks]
    axes = ("vision block", "alpha")
    caption = "Gate values by vision block."
    chart = line_figure("gates of the frame fusion adapters", series, names, axes, caption, 4)
    text = (
        "How much of each block's attention comes from the neighbouring frame after the last task: "
        "alpha, which starts at 0."
    )
    return section("Frame fusion gates", text, chart)


def _time(runs: Sequence[FinishedRun]) -> str:
    rows = []
    for run in runs:
        seconds = [stage["seconds"] for stage in run.results["stages"]]
        trained = number(sum(run.training.values()) or None, 0)
        rows.append([run.name, trained, number(sum(seconds), 0), number(seconds[-1], 1)])
    head = ["run", "training, s", "evaluation, s", "of it the last stage"]
    text = "Seconds of training epochs, and of measuring all stages."
    return section("Where time went", text, html_table(head, rows))


def _bytes(runs: Sequence[FinishedRun], cache_bytes: dict[str, int]) -> str:
    rows = []
    for run in runs:
        sizes = [cache_bytes.get(run.results["fingerprint"]), *run.bytes.values()]
        rows.append([run.name, *(number(size / 1e6 if size else None) for size in sizes)])
    table = html_table(["run", "cache", *runs[0].bytes], rows)
    return section("Where bytes went", "Megabytes.", table)


def _coverage(runs: Sequence[FinishedRun]) -> str:
    rows, bad = [], set()
    for run in runs:
        quarantined = run.results.get("quarantined", [])
        rows.append([run.name, f"{100 * run.results['coverage']:.1f}%", str(len(quarantined))])
        bad |= {(row["clip"], row["reason"], row["path"], row["message"]) for row in quarantined}
    head = ["clip", "reason", "file", "what the decoder said"]
    listed = html_table(head, [list(row) for row in sorted(bad)[:200]]) if bad else ""
    text = "Test clips that were searched, of those in the catalog; clips in quarantine."
    return section("Coverage", text, html_table(["run", "coverage", "bad"], rows), listed)


def _origin(runs: Sequence[FinishedRun]) -> str:
    rows = []
    for run in runs:
        backbone = run.results["backbone"]
        cut = f"{backbone['name']}, {backbone['pretrained']}, cut {backbone['cut']}"
        cache = f"{run.results['dataset']}, {run.results['fingerprint'][:12]}"
        said: list[str] = []
        for key in ("date", "device", "machine", "threads", "versions"):
            values = [one.get(key, "") for one in run.sessions]
            texts = [
                " ".join(f"{k} {v}" for k, v in value.items())
                if isinstance(value, dict)
                else str(value)
                for value in values
            ]
            said.append(", then ".join(dict.fromkeys(texts)))
        rows.append([run.name, cache, cut, *said])
    head = ["run", "dataset, cache", "backbone", "trained on", "device", "processor", "threads",
            "versions"]  # fmt: skip
    text = "What the runs were made from, when, and where; dates are UTC."
    return section("Where these runs come from", text, html_table(head, rows))


def _configuration(runs: Sequence[FinishedRun]) -> str:
    parts = []
    for run in runs:
        values = {**run.config, **run.config["settings"]}
        settings = "\n".join(f"{key}: {v}" for key, v in values.items() if key != "settings")
        parts.append(
            f"<h3>{escape(run.name)}</h3><pre>{escape(run.command)}</pre>"
            f"<details><summary>Settings</summary><pre>{escape(settings)}</pre></details>"
        )
    text = "The command of each run, and its whole configuration."
    return section("How to repeat it", text, *parts)

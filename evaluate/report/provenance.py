"""Provenance of runs: time, disk space, coverage, machines, and the commands that repeat them."""

from collections.abc import Mapping, Sequence

from .finished_runs import FinishedRun
from .formatting import number
from .sections import Recipe, Section, Table

MOST_QUARANTINED = 200  # clips that are listed


def time_spent(runs: Sequence[FinishedRun]) -> Section:
    """Seconds of training and of evaluation."""
    rows = []
    for run in runs:
        evaluated = [number(sum(run.evaluated), 0), number(run.evaluated[-1], 1)]
        rows.append([run.name, number(run.trained or None, 0), *evaluated])
    head = ["run", "training, s", "evaluation, s", "last stage of it, s"]
    text = "Seconds spent in training epochs, and in evaluating all stages."
    return Section("Time", text, [Table(head, rows)])


def disk_space(runs: Sequence[FinishedRun], cache_bytes: Mapping[str, int]) -> Section:
    """Megabytes of cache, checkpoints and gallery."""
    rows = []
    for run in runs:
        sizes = [cache_bytes.get(run.results["fingerprint"]), *run.bytes.values()]
        rows.append([run.name, *(number(size / 1e6 if size else None) for size in sizes)])
    return Section("Disk space", "Megabytes.", [Table(["run", "cache", *runs[0].bytes], rows)])


def coverage(runs: Sequence[FinishedRun]) -> Section:
    """Clips that were evaluated, and those in quarantine."""
    rows, bad = [], set()
    for run in runs:
        quarantined = run.results["quarantined"]
        rows.append([run.name, f"{100 * run.results['coverage']:.1f}%", str(len(quarantined))])
        bad |= {(row["clip"], row["reason"], row["path"], row["message"]) for row in quarantined}
    tables = [Table(["run", "coverage", "quarantined"], rows)]
    if bad:
        head = ["clip", "reason", "file", "message of the decoder"]
        tables.append(Table(head, sorted(bad)[:MOST_QUARANTINED]))
    text = (
        "Coverage is the share of the catalog's test clips that were evaluated. Clips in "
        "quarantine are left out."
    )
    return Section("Coverage", text, tables)


def provenance(runs: Sequence[FinishedRun]) -> Section:
    """Dates, machines, versions, caches and backbones."""
    rows = []
    for run in runs:
        backbone = run.results["backbone"]
        cut = f"{backbone['name']}, {backbone['pretrained']}, cut {backbone['cut']}"
        cache = f"{run.results['dataset']}, {run.results['fingerprint'][:12]}"
        keys = ("date", "device", "machine", "threads", "versions")
        rows.append([run.name, cache, cut, *(_over_sessions(run, key) for key in keys)])
    head = ["run", "dataset, cache", "backbone", "trained on", "device", "processor", "threads",
            "versions"]  # fmt: skip
    text = "What the runs were made from, when, and on which machine; dates are UTC."
    return Section("Where these runs come from", text, [Table(head, rows)])


def _over_sessions(run: FinishedRun, key: str) -> str:
    """The different values of the training sessions, in order."""
    values = [session.get(key, "") for session in run.sessions]
    texts = [
        " ".join(f"{name} {part}" for name, part in value.items())
        if isinstance(value, dict)
        else str(value)
        for value in values
    ]
    return ", then ".join(dict.fromkeys(texts))


def recipes(runs: Sequence[FinishedRun]) -> Section:
    """The command and the whole configuration of every run."""
    entries = []
    for run in runs:
        values = {**run.config, **run.config["settings"]}
        settings = "\n".join(f"{key}: {v}" for key, v in values.items() if key != "settings")
        entries.append(Recipe(run.name, run.command, settings))
    text = "The command of each run, and its whole configuration."
    return Section("How to repeat these runs", text, recipes=entries)

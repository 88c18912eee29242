"""Where runs come from: time, bytes, coverage, machines, and the commands that repeat them."""

from collections.abc import Sequence
from html import escape

from .finished_runs import FinishedRun
from .layout import section
from .tables import html_table, number


def time_spent(runs: Sequence[FinishedRun]) -> str:
    """Seconds of training and of measuring."""
    rows = []
    for run in runs:
        seconds = [stage["seconds"] for stage in run.results["stages"]]
        trained = number(sum(run.training.values()) or None, 0)
        rows.append([run.name, trained, number(sum(seconds), 0), number(seconds[-1], 1)])
    head = ["run", "training, s", "evaluation, s", "of it the last stage"]
    text = "Seconds of training epochs, and of measuring all stages."
    return section("Where time went", text, html_table(head, rows))


def bytes_kept(runs: Sequence[FinishedRun], cache_bytes: dict[str, int]) -> str:
    """Megabytes of cache, checkpoints and gallery."""
    rows = []
    for run in runs:
        sizes = [cache_bytes.get(run.results["fingerprint"]), *run.bytes.values()]
        rows.append([run.name, *(number(size / 1e6 if size else None) for size in sizes)])
    table = html_table(["run", "cache", *runs[0].bytes], rows)
    return section("Where bytes went", "Megabytes.", table)


def coverage(runs: Sequence[FinishedRun]) -> str:
    """Clips that were searched, and those in quarantine."""
    rows, bad = [], set()
    for run in runs:
        quarantined = run.results.get("quarantined", [])
        rows.append([run.name, f"{100 * run.results['coverage']:.1f}%", str(len(quarantined))])
        bad |= {(row["clip"], row["reason"], row["path"], row["message"]) for row in quarantined}
    head = ["clip", "reason", "file", "what the decoder said"]
    listed = html_table(head, [list(row) for row in sorted(bad)[:200]]) if bad else ""
    text = "Test clips that were searched, of those in the catalog; clips in quarantine."
    return section("Coverage", text, html_table(["run", "coverage", "bad"], rows), listed)


def origin(runs: Sequence[FinishedRun]) -> str:
    """Dates, machines, versions, caches and backbones."""
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


def repeating(runs: Sequence[FinishedRun]) -> str:
    """The command and the whole configuration of every run."""
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

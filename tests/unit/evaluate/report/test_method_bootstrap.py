"""A method's interval is over its own runs; a difference over what both methods have run."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from structalign.evaluate.query_results import QueryResult
from structalign.evaluate.report.finished_runs import FinishedRun
from structalign.evaluate.report.method_bootstrap import MethodBootstrap
from structalign.evaluate.report.run_groups import RunGroups
from structalign.train.runs.folder import query_results_file

CAPTIONS = 40


def run(folder: Path, method: str, seed: int, hits: int, cache: str = "aa") -> FinishedRun:
    """One task, in which the first ``hits`` captions found their clip."""
    path = folder / f"{method}-{cache}-{seed}"
    query_results_file(path, 1).parent.mkdir(parents=True)
    results = [
        QueryResult(1, f"clip{n}", "birds", "a bird", rank, rank, ())
        for n in range(CAPTIONS)
        for rank in [1.0 if n < hits else 20.0]
    ]
    query_results_file(path, 1).write_text(
        "".join(json.dumps(asdict(result)) + "\n" for result in results)
    )
    config = {"fingerprint": cache * 32, "seed": seed, "settings": {}, "parts": [{}]}
    return FinishedRun(path, config, {"method": method, "categories": [["birds"]]}, 0.0, {})


def test_own_runs_and_common_runs(tmp_path: Path) -> None:
    groups = RunGroups({
        "ours": [run(tmp_path, "ours", seed, hits) for seed, hits in ((0, 20), (1, 40))],
        "theirs": [run(tmp_path, "theirs", 0, 10)],
    })  # fmt: skip
    bootstrap = MethodBootstrap(groups)
    ours, theirs = (bootstrap.interval("R@1", name) for name in groups.by_method)
    assert ours and theirs and (ours.value, theirs.value) == (75, 25)
    assert ours.low <= 50 and ours.high == 100, "a draw of one seed alone is in it"
    gap = bootstrap.difference("R@1", "ours", "theirs")
    assert gap and gap.value == 25 and bootstrap.common("ours", "theirs") == (("a" * 12, "0"),)


def test_clips_of_one_name_in_two_caches_are_not_paired(tmp_path: Path) -> None:
    here, there = run(tmp_path, "ours", 0, 20), run(tmp_path, "theirs", 0, 10, cache="bb")
    bootstrap = MethodBootstrap(RunGroups({"ours": [here], "theirs": [there]}))
    assert bootstrap.common("ours", "theirs") == () and not bootstrap.unknown
    assert bootstrap.difference("R@1", "ours", "theirs") is None
    assert bootstrap.interval("R@1", "theirs") is not None


def test_a_run_without_query_results_costs_no_other_method_its_interval(tmp_path: Path) -> None:
    runs = {name: [run(tmp_path, name, 0, 20)] for name in ("ours", "theirs")}
    query_results_file(runs["theirs"][0].path, 1).unlink()
    bootstrap = MethodBootstrap(RunGroups(runs))
    assert list(bootstrap.unknown) == ["theirs"] and "eval --again" in bootstrap.unknown["theirs"]
    assert bootstrap.interval("R@1", "theirs") is None
    assert bootstrap.difference("R@1", "ours", "theirs") is None
    interval = bootstrap.interval("R@1", "ours")
    assert interval and interval.value == pytest.approx(50)

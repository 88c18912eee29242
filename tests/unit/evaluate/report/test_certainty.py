"""A method's interval is over its own runs; a difference over what both methods have run."""

import json
from pathlib import Path
from typing import Any

import pytest
from structalign.evaluate.query_results import QueryResult
from structalign.evaluate.report.certainty import Certainty
from structalign.evaluate.report.finished_runs import FinishedRun
from structalign.train.runs.folder import answers_file

CAPTIONS = 40


def run(folder: Path, method: str, seed: int, hits: int, cache: str = "aa") -> Any:
    """One task, in which the first ``hits`` captions found their clip."""
    path = folder / f"{method}-{cache}-{seed}"
    answers_file(path, 1).parent.mkdir(parents=True)
    answers = [
        QueryResult(1, f"clip{n}", "birds", "a bird", rank, rank, ())
        for n in range(CAPTIONS)
        for rank in [1.0 if n < hits else 20.0]
    ]
    answers_file(path, 1).write_text("".join(json.dumps(one.to_json()) + "\n" for one in answers))
    config = {"fingerprint": cache * 32, "seed": seed, "settings": {}}
    return FinishedRun(path, config, {"method": method, "categories": [["birds"]]}, {}, {})


def test_own_runs_and_common_runs(tmp_path: Path) -> None:
    groups = {
        "ours": [run(tmp_path, "ours", seed, hits) for seed, hits in ((0, 20), (1, 40))],
        "theirs": [run(tmp_path, "theirs", 0, 10)],
    }
    found = Certainty(groups)
    ours, theirs = (found.interval("R@1", name) for name in groups)
    assert ours and theirs and (ours.value, theirs.value) == (75, 25)
    assert ours.low <= 50 and ours.high == 100, "a draw of one seed alone is in it"
    gap = found.difference("R@1", "ours", "theirs")
    assert gap and gap.value == 25 and found.common("ours", "theirs") == (("a" * 12, "0"),)


def test_clips_of_one_name_in_two_caches_are_not_paired(tmp_path: Path) -> None:
    here, there = run(tmp_path, "ours", 0, 20), run(tmp_path, "theirs", 0, 10, cache="bb")
    found = Certainty({"ours": [here], "theirs": [there]})
    assert found.common("ours", "theirs") == () and not found.unknown
    assert found.difference("R@1", "ours", "theirs") is None
    assert found.interval("R@1", "theirs") is not None


def test_a_run_without_answers_takes_no_other_interval(tmp_path: Path) -> None:
    groups = {name: [run(tmp_path, name, 0, 20)] for name in ("ours", "theirs")}
    answers_file(groups["theirs"][0].path, 1).unlink()
    found = Certainty(groups)
    assert list(found.unknown) == ["theirs"] and "eval --again" in found.unknown["theirs"]
    assert found.interval("R@1", "theirs") is None
    assert found.difference("R@1", "ours", "theirs") is None
    assert found.interval("R@1", "ours").value == pytest.approx(50)

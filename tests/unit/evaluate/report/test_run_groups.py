"""Only runs that differ in nothing but the seed are averaged."""

from pathlib import Path
from typing import Any

import pytest
from structalign.core.errors import StructAlignError
from structalign.evaluate.report.finished_runs import FinishedRun
from structalign.evaluate.report.run_groups import group_runs


def run(
    path: str, seed: int, cache: str = "aa", method: str = "finetune", **settings: Any
) -> FinishedRun:
    config = {
        "fingerprint": cache * 32,
        "seed": seed,
        "tasks": 2,
        "method": method,
        "dataset": "demo",
        "settings": {"epochs": 2, **settings},
        "parts": [{}],
    }
    return FinishedRun(
        Path(path), config, {"method": method, "seed": seed, "backbone": {"name": "demo"}}, 0.0, {}
    )


def test_seeds_of_one_configuration_are_one_group() -> None:
    groups = group_runs([run("a", 0), run("b", 1), run("c", 0, method="lwf")])
    assert {name: len(runs) for name, runs in groups.by_method.items()} == {"finetune": 2, "lwf": 1}


def test_other_caches_and_settings_are_groups_of_their_own_and_say_so() -> None:
    runs = [run("a", 0), run("b", 0, cache="bb"), run("c", 0, epochs=3), run("d", 1, epochs=3)]
    groups = group_runs(runs)
    assert {name: [str(run.path) for run in group] for name, group in groups.by_method.items()} == {
        "finetune (cache=aaaaaaaaaaaa, epochs=2)": ["a"],
        "finetune (cache=bbbbbbbbbbbb, epochs=2)": ["b"],
        "finetune (cache=aaaaaaaaaaaa, epochs=3)": ["c", "d"],
    }


def test_a_run_and_its_copy_are_refused() -> None:
    with pytest.raises(StructAlignError, match="a and copy are the same run"):
        group_runs([run("a", 0), run("copy", 0)])


def test_a_run_that_grew_is_no_seed_of_one_that_did_not() -> None:
    grown = run("b", 1)
    later = {"fingerprint": "cc" * 32, "tasks": [["x", "y"], ["z"]]}
    grown.config["parts"].append(later)
    shuffled = run("c", 2)
    shuffled.config["order"] = "shuffled:1"
    assert len(group_runs([run("a", 0), grown, shuffled]).by_method) == 3
    assert grown.command.endswith("\nstructalign append b --cache cccccccccccc --tasks 2,1")

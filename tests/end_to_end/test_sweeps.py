"""Sweeps: many runs from one command, side by side in Ray, and the choice of settings."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, QUICK, Cli
from helpers.other_files import make_other_files

# Ray is started once, or joined: one process at a time.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


def test_sweep_keeps_finished_runs(shared: Cli, joined: dict[str, str]) -> None:
    arguments = (
        "sweep",
        "--methods",
        "zeroshot,finetune",
        "--seeds",
        "0,1,0",
        *QUICK,
        "--out",
        shared.home / "sweep",
    )
    body = shared.json(*arguments)
    assert len(body["runs"]) == 4 and body["methods"]["finetune"]["runs"] == 2
    assert body["methods"]["zeroshot"]["R@1"]["sd"] == 0
    assert (shared.home / "sweep" / "sweep.json").is_file()
    assert len((shared.home / "sweep" / "sweep.csv").read_text().splitlines()) == 5
    page = shared.json("report", shared.home / "sweep")
    assert page["runs"] == [run["run"] for run in body["runs"]]
    assert Path(page["file"]) == shared.home / "sweep" / "report.html"
    again = shared.json(*arguments, "--ray-address", "127.0.0.1:1")
    assert again["runs"] == body["runs"], "without Ray, which is not there"
    grown = next(run["run"] for run in body["runs"] if run["method"] == "zeroshot")
    root = shutil.copytree(
        shared.json("cache", "info", "manifest")["provenance"]["root"], shared.home / "later"
    )
    make_other_files(root)
    line = ("--root", root, "--cut", "4", "--limit", "8", "--name", "later")
    later = shared.json(*EXTRACT, *line)["path"]
    assert shared.json("append", grown, "--cache", later)["tasks"] == 3
    same = shared.json(*arguments, "--caches", "manifest")["runs"]
    assert same == body["runs"], "of the tasks that were asked for"
    shared.json("cache", "rm", later, "--yes")
    for wrong in (("--seeds", ""), ("--grid", "epochs=1", "--grid", "epochs=2")):
        assert shared(*arguments, *wrong).returncode == 2
    orders = (*QUICK, "--seeds", "0", "--orders", "0,1", "--out", shared.home / "sweep")
    grid = ("--grid", "batch=8,16")
    elsewhere = Cli(shared.home)
    elsewhere.environment |= joined
    body = elsewhere.json("sweep", "--methods", "finetune", *orders, *grid)
    assert {(run["order"], run["method"]) for run in body["runs"]} == {
        (f"shuffled:{n}", f"finetune:batch={b}") for n in (0, 1) for b in (8, 16)
    }
    assert {name: found["runs"] for name, found in body["methods"].items()} == {
        "finetune:batch=8": 2, "finetune:batch=16": 2
    }  # fmt: skip
    categories = [
        json.loads((Path(run["run"]) / "results.json").read_text())["categories"]
        for run in body["runs"]
    ]
    assert categories[0] != categories[-1] and body["orders"] == [0, 1]


def test_a_sweep_chooses_settings_by_held_out_clips_with_equal_tries(
    shared: Cli, joined: dict[str, str], tmp_path: Path
) -> None:
    """Every method tries the whole grid, and every try is on record."""
    shared = Cli(shared.home)
    shared.environment |= joined
    line = ("--tasks", "2", "--set", "epochs=1", "--seeds", "3", "--methods", "finetune,joint",
            "--out", tmp_path)  # fmt: skip
    grid = ("--grid", "lr_text+lr_vision+lr_other=1e-6,2e-3", "--choose", "manifest")
    assert shared("sweep", *line, "--choose", "manifest").returncode == 2
    told = shared.error("sweep", *line, *grid, "--set", "lr_other=1")
    assert "setting lr_other is in the grid and set for all; give it once" in told
    body = shared.json("sweep", *line, *grid)
    choice = body["choice"]
    assert choice["seed"] == 3 and choice["heldout"] == 0.25
    for method in ("finetune", "joint"):
        tries = [one for one in choice["tries"] if one["method"] == method]
        assert len(tries) == 2
        best = max(tries, key=lambda one: one["R@1"])
        assert choice["chosen"][method] == best["changes"]
        for one in tries:
            tried = json.loads((Path(one["run"]) / "results.json").read_text())
            assert tried["evaluated_on"] == "held-out training clips"
            assert tried["final"]["t2v"]["R@1"] == one["R@1"]
            rates = {tried["settings"][f"lr_{group}"] for group in ("text", "vision", "other")}
            assert rates == {1e-6 if "1e-6" in one["changes"] else 2e-3}
        (run,) = [run for run in body["runs"] if run["method"] == method]
        final = json.loads((Path(run["run"]) / "results.json").read_text())
        assert final["evaluated_on"] == "test" and final["method"] == method + best["changes"]
    assert body["methods"].keys() == {"finetune", "joint"}


def test_a_sweep_goes_on_when_a_run_fails_and_says_which_and_why(
    shared: Cli, joined: dict[str, str], tmp_path: Path
) -> None:
    """Ray's traceback was shown, and the other runs were ended."""
    shared = Cli(shared.home)
    shared.environment |= joined
    (cache,) = shared.json("cache", "ls")["caches"]
    run = tmp_path / f"manifest-{cache['fingerprint'][:8]}-finetune-k2-s0"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    told = shared.error(
        "sweep", "--methods", "finetune,zeroshot", "--seeds", "0", *QUICK, "--out", tmp_path
    )
    assert (
        f"1 of 2 runs failed, the others are kept and not done again: {run.name}: {run} is a "
        "folder with something else in it" in told
    )
    assert [file.parent.name for file in tmp_path.glob("*/results.json")] == [
        run.name.replace("finetune", "zeroshot")
    ]

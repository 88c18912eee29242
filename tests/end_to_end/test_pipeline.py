"""From video files to a task matrix, by the real command line."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structalign
from helpers.cli import EXTRACT, QUICK, TWO_EPOCHS, Cli, Forked, without_seconds
from helpers.runs import sign
from PIL import Image


@pytest.fixture(scope="module")
def trained(shared: Cli) -> dict[str, Any]:
    return shared.json("train", *QUICK, "--out", shared.home / "runs" / "whole")


def test_results_keep_the_contract(trained: dict[str, Any]) -> None:
    assert set(trained) >= {
        "method", "dataset", "tasks", "seed", "selection", "fingerprint", "coverage", "matrix",
        "stages", "final", "zero_shot",
        "gallery", "scope", "ties",
    }  # fmt: skip
    matrix = trained["matrix"]
    assert isinstance(matrix, dict)
    for name in ("r1", "r5", "r10"):
        rows = matrix[name]
        assert len(rows) == 3 and all(len(row) == 2 for row in rows)
        assert (
            None not in rows[0]
            and rows[1][1] is None
            and rows[1][0] is not None
            and None not in rows[2]
        )
        assert all(0 <= value <= 100 for row in rows for value in row if value is not None)
    stages = trained["stages"]
    assert isinstance(stages, list) and len(stages) == 3
    for stage in stages:
        for side in ("t2v", "v2t"):
            assert set(stage[side]) >= {"R@1", "R@5", "R@10", "MedR", "MeanR"}
        assert {"BWF", "seconds"} <= set(stage)
    assert stages[2]["BWF"] == pytest.approx(matrix["r1"][1][0] - matrix["r1"][2][0])
    assert trained["final"] == stages[-1] and trained["zero_shot"] == stages[0]
    assert (
        trained["coverage"] == 1.0
        and trained["selection"] == "last"
        and trained["gallery"] == "stored"
    )


def test_eval_gives_the_same_figures(shared: Cli, trained: dict[str, Any]) -> None:
    again = shared.json("eval", shared.home / "runs" / "whole", "--again")
    assert without_seconds(again) == without_seconds(trained)
    table = shared("eval", shared.home / "runs" / "whole").stdout
    assert (
        "zero-shot" in table and "BWF" in table and f"{trained['final']['t2v']['R@1']:.2f}" in table
    )


def test_eval_computes_again_only_what_changed(
    shared: Cli, trained: dict[str, Any], tmp_path: Path
) -> None:
    whole = shared.home / "runs" / "whole"
    again = shared("eval", whole)
    assert "nothing has changed" in again.stderr and "BWF" in again.stdout
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    assert "nothing has changed" in shared("eval", run).stderr
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(
        json.dumps({**results, "final": {**results["final"], "queries": -1}})
    )
    assert without_seconds(shared.json("eval", run)) == without_seconds(trained)
    checkpoint = run / "tasks" / "02" / "state.safetensors"
    body = bytearray(checkpoint.read_bytes())
    body[-1] ^= 1
    checkpoint.write_bytes(bytes(body))
    assert "nothing has changed" not in shared("eval", run).stderr


@pytest.mark.parametrize("command", [["cache", "ls"], ["eval", "runs/whole"]])
def test_what_reads_results_alone_loads_no_torch(
    shared: Cli, trained: dict[str, Any], command: list[str]
) -> None:
    """They answer in a second; torch alone takes longer to import."""
    code = (
        "import sys; from structalign.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "print(*{'torch', 'ray', 'open_clip'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=shared.home, env=shared.environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout and done.stderr.splitlines()[-1] == ""


def test_an_interrupted_run_equals_an_uninterrupted_one(
    shared: Cli, trained: dict[str, Any]
) -> None:
    source, target = shared.home / "runs" / "whole", shared.home / "runs" / "cut"
    shutil.copytree(source, target)
    shutil.rmtree(target / "tasks" / "02")
    (target / "stages" / "02.json").unlink()
    (target / "results.json").unlink()
    resumed = shared.json("train", *QUICK, "--out", target)
    assert without_seconds(resumed) == without_seconds(trained)
    for name in ("state", "gallery-test", "gallery-train"):
        assert (target / "tasks" / "02" / f"{name}.safetensors").read_bytes() == (
            source / "tasks" / "02" / f"{name}.safetensors"
        ).read_bytes()


def test_a_run_refuses_another_configuration_or_cache(
    shared: Cli, trained: dict[str, Any], tmp_path: Path
) -> None:
    run = shared.home / "runs" / "whole"
    assert "exists with another configuration (seed: 0 in the run, 1 now)" in shared.error(
        "train", *QUICK, "--seed", "1", "--out", run
    )
    other_method = shared.error("train", *QUICK, "--method", "finetune", "--out", run)
    assert (
        "exists with another configuration" in other_method
        and "method: 'structalign' in the run, 'finetune' now" in other_method
    )
    other = Path(shutil.copytree(run, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    config["parts"][0]["fingerprint"] = "0" * 64
    sign(other / "config.json", parts=config["parts"])
    message = shared.error("eval", other, "--cache", "manifest")
    assert "this run was trained on cache 000000000000, not on" in message
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    assert "with something else in it" in shared.error("train", *QUICK, "--out", tmp_path / "full")


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        "finetune",
        "lwf",
        "clip4clip",
        "xpool",
        "vr_lwf",
        "zscl:snapshots=3",
        "moe_adapter:experts=4",
        "zeroshot",
        "joint",
        "framefusionmoe",
        "framefusionmoe-released",
        "structalign-released:batch=8",
        "structalign:selection=heldout:experts=1",
        "structalign:selection=reference:eval_split=heldout",
        "structalign-pretrained",
        "structalign-no-ffa",
        "crp-only",
        "etf-only",
    ],
)
def test_every_method_runs(shared: Cli, method: str) -> None:
    between = TWO_EPOCHS if "selection" in method or "snapshots" in method else ()
    run = shared.home / "runs" / method.replace(":", "+")
    results = shared.json("train", *QUICK, *between, "--method", method, "--out", run)
    assert results["method"] == method
    assert results["selection"] == (
        "reference"
        if "released:" in method or "reference" in method
        else "heldout"
        if "heldout" in method
        else "last"
    )
    if method == "joint":
        assert results["tasks"] == 1 and len(results["matrix"]["r1"]) == 2
    if method == "zeroshot":
        rows = results["matrix"]["r1"]
        assert rows[1][0] is not None and rows[2][0] is not None
        assert (
            results["final"]["FWT"] == 0
            and results["final"]["BWF_stored"] == results["final"]["BWF_reencoded"]
        )
    if method != "joint":
        assert results["tasks"] == 2
    assert set(results["figures"]) == {
        f"t2v/{name}" for name in ("stored/task", "reencoded/task", "stored/seen", "ahead/task")
    } | {"v2t/stored/task"}


@pytest.mark.slow
def test_clip_vip_needs_and_runs_at_cut_0(shared: Cli, cli: Cli, tmp_path: Path) -> None:
    assert "extract with --cut 0" in shared.error(
        "train", "--tasks", "2", "--method", "clip_vip", "--out", tmp_path / "no"
    )
    root = shared.json("cache", "info")["provenance"]["root"]
    cli.json(*EXTRACT, "--root", root, "--cut", "0")
    run = ("train", "--tasks", "2", "--method", "clip_vip", "--set", "epochs=2")
    results = cli.json(*run, "--out", tmp_path / "run")
    assert results["final"]["t2v"]["R@1"] > 0 and results["backbone"]["cut"] == 0
    assert without_seconds(cli.json("eval", tmp_path / "run", "--again")) == without_seconds(
        results
    )
    assert cli.json("search", tmp_path / "run", "a red ball", "--top", "99")["clips"] == 32


@pytest.mark.slow
def test_zscl_distils_on_a_cache_of_pictures(shared: Cli, cli: Cli, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rows = ["clip_id,path,caption"]
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number, 90, 20)).save(pictures / f"{number}.png")
        rows.append(f"p{number},{number}.png,a picture of a colour")
    (pictures / "manifest.csv").write_text("\n".join(rows) + "\n")
    line = ("--backbone", "demo", "--frames", "1", "--views", "1", "--engine", "inline")
    extract = ("extract", "--dataset", "manifest", "--root", pictures, *line)
    reference, other = (cli.json(*extract, "--cut", cut)["path"] for cut in ("4", "5"))
    train = ("train", *QUICK, "--method")
    with_pictures = shared.json(
        *train, f"zscl:reference={reference}", "--out", tmp_path / "pictured"
    )
    on_stream = shared.json(*train, "zscl", "--out", tmp_path / "stream")
    assert with_pictures["warnings"] != on_stream["warnings"]
    assert any("reference=stream" in line for line in on_stream["warnings"])
    states = [tmp_path / run / "tasks/02/state.safetensors" for run in ("pictured", "stream")]
    assert states[0].read_bytes() != states[1].read_bytes()
    assert "another backbone or cut" in shared.error(
        *train, f"zscl:reference={other}", "--out", tmp_path / "no"
    )


def test_version_is_the_packages(cli: Cli) -> None:
    assert cli("--version").stdout.split()[-1] == structalign.__version__


def test_debug_shows_where_an_error_comes_from(shared: Cli) -> None:
    line = shared.error("train", "--tasks", "99")
    shown = shared("--debug", "train", "--tasks", "99")
    assert shown.returncode == 1 and "Traceback" in shown.stderr
    assert line.removeprefix("error: ") in shown.stderr


def test_random_weights_say_so(shared: Cli, cli: Cli) -> None:
    videos = shared.home.parent / "videos0"
    report = cli.json(
        "extract",
        "--dataset",
        "manifest",
        "--root",
        videos,
        "--backbone",
        "demo",
        "--pretrained",
        "random:3",
        "--frames",
        "2",
        "--views",
        "1",
        "--cut",
        "4",
        "--engine",
        "inline",
    )
    assert report["ok"] == 32
    done = cli("train", "--tasks", "2", "--set", "epochs=1", "--set", "rank=4")
    assert done.returncode == 0, done.stderr
    assert "RANDOM WEIGHTS" in done.stdout
    results = json.loads(next((cli.home / "runs").glob("*/results.json")).read_text())
    assert results["backbone"]["random_weights"] is True


@pytest.mark.slow
def test_demo_goes_from_nothing_to_a_task_matrix(cli: Cli) -> None:
    results = cli.json("demo", "--limit", "40", "--tasks", "2")
    assert results["method"] == "structalign" and len(results["matrix"]["r1"]) == 3
    assert cli.json("eval")["final"] == results["final"]


@pytest.mark.slow
def test_a_run_is_trained_by_one_process_at_a_time(shared: Cli, tmp_path: Path) -> None:
    arguments = ("train", *QUICK, "--set", "epochs=500", "--out", tmp_path / "run")

    def start_and_wait_for_the_lease() -> Forked:
        process = shared.fork(*arguments)
        while True:
            assert process.poll() is None
            for file in (tmp_path / "run").glob("lease.*"):
                with suppress(FileNotFoundError):  # released between two steps of creating a run
                    if f'"pid": {process.pid},' in file.read_text():
                        return process
            time.sleep(0.01)

    first = start_and_wait_for_the_lease()
    assert f"is being trained by process {first.pid} on " in shared.error(*arguments)
    first.kill()
    first.communicate()
    second = start_and_wait_for_the_lease()  # the first is dead: its lease is taken over at once
    second.kill()
    second.communicate()

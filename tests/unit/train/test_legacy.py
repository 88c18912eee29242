"""Runs of version 0.1 open: the same figures from their layout, names and settings."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.cli import QUICK, Cli, without_seconds
from safetensors.torch import load_file, save_file

NAMES = {"frame_fusion.": "video.adapters.", "experts.": "text.experts.",
         "task_prototypes.": "text.prototypes."}  # fmt: skip
EVERY_MODEL_HAD = ("etf_text", "etf_video")


def as_version_01(run: Path, target: Path, tasks: int) -> Path:
    """A finished run as version 0.1 would have left it."""
    shutil.copytree(run, target)
    config = json.loads((target / "config.json").read_text())
    settings = config["settings"]
    settings["measured_on"] = settings.pop("eval_split")
    settings["remainder"] = "dropped" if settings.pop("drop_last") else "kept"
    for new in ("stream", "etf_classes"):
        settings.pop(new, None)
    if settings.get("etf") == "open":
        settings["etf"] = "simplex"
    algorithm = config.pop("source")
    config.pop("file_hash")
    body = {"method": config.pop("method"), "algorithm": algorithm, **config}
    (target / "config.json").write_text(json.dumps(body))
    shutil.rmtree(target / "stages")
    for name in ("results.json", "evaluated.json"):
        (target / name).unlink()
    for folder in (target / "tasks").iterdir():
        state = load_file(folder / "state.safetensors")
        (folder / "state.safetensors").unlink()
        model, remembered = {}, {}
        for name, value in state.items():
            old = next(
                (NAMES[new] + name.removeprefix(new) for new in NAMES if name.startswith(new)), name
            )
            if name.startswith("prototypes.") or name == "stored":
                remembered[name.removeprefix("prototypes.")] = value
            else:
                model[old] = value
        for name in EVERY_MODEL_HAD:
            model.setdefault(name, torch.ones(2))
        width = model["text.prototypes.0"].shape
        for task in range(tasks):  # drawn for every task at the start
            model.setdefault(f"text.prototypes.{task}", torch.ones(width))
        save_file(model, folder / "model.safetensors")
        save_file({}, folder / "gradients.safetensors")
        save_file(remembered, folder / "method.safetensors")
        frames = load_file(folder / "gallery-test.safetensors")["embeddings"]
        save_file({"frames": frames}, folder / "database-test.safetensors")
        (folder / "gallery-test.json").rename(folder / "database-test.json")
        for left in folder.glob("gallery-*"):
            left.unlink()
    return target


@pytest.fixture(scope="module", params=["structalign", "finetune", "framefusionmoe"])
def pair(
    request: pytest.FixtureRequest, shared: Cli, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("legacy")
    shared.json("train", *QUICK, "--method", request.param, "--out", folder / "now")
    return folder / "now", as_version_01(folder / "now", folder / "then", 2)


def test_figures_search_and_report(shared: Cli, pair: tuple[Path, Path]) -> None:
    now, then = pair
    expected = json.loads((now / "results.json").read_text())
    found = shared.json("eval", then)
    for key in ("matrix", "final", "stages", "figures", "coverage"):
        assert without_seconds(found[key]) == without_seconds(expected[key]), key
    rows = shared.json("search", then, "a red ball", "--top", "99")
    assert rows["clips"] == 16  # it kept the test clips alone
    scores = {row["clip"]: row["score"] for row in rows["results"]}
    newer = shared.json("search", now, "a red ball", "--top", "99")["results"]
    same = {row["clip"]: row["score"] for row in newer if row["clip"] in scores}
    assert scores == pytest.approx(same, abs=1e-5)
    assert Path(shared.json("report", then)["file"]).is_file()


def test_a_finished_run_is_kept_and_an_unfinished_one_is_not_continued(
    shared: Cli, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _, then = pair
    method = json.loads((then / "config.json").read_text())["method"]
    line = ("train", *QUICK, "--method", method)
    changed = ("--set", "etf=simplex", "--set", "etf_classes=4") if method == "structalign" else ()
    assert shared.json(*line, *changed, "--out", then)["tasks"] == 2
    part = Path(shutil.copytree(then, tmp_path / "part"))
    shutil.rmtree(part / "tasks" / "02")
    told = shared.error(*line, *changed, "--out", part)
    assert "was begun by version 0.1" in told and "--overwrite" in told

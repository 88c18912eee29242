"""Bad input gives one clear line and the contract's exit code."""

import csv
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, Cli


def manifest(folder: Path, *rows: tuple[str, ...]) -> Path:
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("clip_id", "path", "start", "end", "category", "split", "caption"), *rows]
        )
    return folder


def test_unknown_names(cli: Cli, shared: Cli) -> None:
    assert "unknown dataset 'dmo'; did you mean 'demo'?" in cli.error("extract", "--dataset", "dmo")
    assert "unknown backbone 'ViT-B-32-quickgel'; did you mean 'ViT-B-32-quickgelu'?" in cli.error(
        "extract",
        "--dataset",
        "manifest",
        "--backbone",
        "ViT-B-32-quickgel",
        "--root",
        shared.home.parent / "videos0",
    )
    assert "unknown method 'structalgn'; did you mean 'structalign'?" in shared.error(
        "train", "--tasks", "2", "--method", "structalgn"
    )
    assert "unknown setting 'epoch'; did you mean 'epochs'?" in shared.error(
        "train", "--tasks", "2", "--set", "epoch=1"
    )
    assert "is not a number" in shared.error("train", "--tasks", "2", "--set", "epochs=many")
    assert "choose one of pretrained, previous" in shared.error(
        "train", "--tasks", "2", "--set", "teacher=me"
    )


def test_tasks(shared: Cli) -> None:
    assert "has 4 categories; choose 1 to 4" in shared.error("train", "--tasks", "5")
    assert "--tasks 2,3 are 5 categories; the cache has 4" in shared.error(
        "train", "--tasks", "2,3"
    )
    assert "give shuffled:SEED" in shared.error("train", "--tasks", "2", "--order", "backwards")
    for wrong in ("0", "2,", "1,0", "x"):
        assert shared("train", "--tasks", wrong).returncode == 2
    assert shared("train").returncode == 2


def test_roots_and_manifests(cli: Cli, tmp_path: Path) -> None:
    assert "needs --root" in cli.error("extract", "--dataset", "manifest")
    assert "nowhere does not exist" in cli.error(
        "extract", "--dataset", "manifest", "--root", "nowhere"
    )
    assert "no manifest under" in cli.error(*EXTRACT, "--root", tmp_path)
    assert "has no clips" in cli.error(*EXTRACT, "--root", manifest(tmp_path))
    row = ("a", "a.mp4", "", "", "music", "train", "a song")
    assert "line 2: clip 'a' has an empty caption" in cli.error(
        *EXTRACT, "--root", manifest(tmp_path, (*row[:6], "  "))
    )
    assert "must lie below" in cli.error(
        *EXTRACT, "--root", manifest(tmp_path, ("a", "../a.mp4", *row[2:]))
    )
    assert "must lie below" in cli.error(
        *EXTRACT, "--root", manifest(tmp_path, ("a", "/etc/passwd", *row[2:]))
    )
    assert "split is 'val'" in cli.error(
        *EXTRACT, "--root", manifest(tmp_path, (*row[:5], "val", "a song"))
    )
    assert "start is 'soon'" in cli.error(
        *EXTRACT, "--root", manifest(tmp_path, (*row[:2], "soon", *row[3:]))
    )
    assert "differs from its earlier row" in cli.error(
        *EXTRACT, "--root", manifest(tmp_path, row, (*row[:4], "sports", "train", "other"))
    )


def test_caches_and_runs(cli: Cli, shared: Cli) -> None:
    assert "no complete cache under" in cli.error("train", "--tasks", "2")
    assert "no cache 'nothing'" in shared.error("train", "--tasks", "2", "--cache", "nothing")
    assert "no run under" in cli.error("eval")
    assert "nowhere is not a run" in cli.error("eval", "nowhere")


def test_files_for_folders(cli: Cli) -> None:
    (cli.home / "file").write_text("words")
    (cli.home / "folder").mkdir()
    for line in (("cache", "ls"), ("extract",), ("train", "--tasks", "2")):
        assert "cache root file is a file" in cli.error(*line, "--cache-root", "file")
    assert "folder of runs file is a file" in cli.error("eval", "--runs", "file")
    assert "file is not a run" in cli.error("verify", "file")
    assert "folder is not a file; name the bundle" in cli.error("cache", "import", "folder")


def test_backbones(cli: Cli, shared: Cli, tmp_path: Path) -> None:
    videos = shared.home.parent / "videos0"
    assert "cannot be cut" in cli.error(
        "extract",
        "--dataset",
        "manifest",
        "--backbone",
        "RN50",
        "--pretrained",
        "random:0",
        "--root",
        videos,
    )
    assert "does not lie in 0..5" in cli.error(*EXTRACT, "--root", videos, "--cut", "6")
    assert "unknown weights 'opena'; did you mean 'openai'?" in cli.error(
        *EXTRACT[:3], "--backbone", "ViT-B-32-quickgelu", "--pretrained", "opena", "--root", videos
    )
    (tmp_path / "evil.pt").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    assert "loads without running code" in cli.error(
        *EXTRACT[:3],
        "--backbone",
        "ViT-B-32-quickgelu",
        "--pretrained",
        tmp_path / "evil.pt",
        "--root",
        videos,
    )
    assert not list(tmp_path.rglob("hacked"))


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded(cli: Cli, shared: Cli) -> None:
    cli.environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cli.home / "hub")}
    done = cli(
        *EXTRACT[:3],
        "--backbone",
        "ViT-B-32-quickgelu",
        "--pretrained",
        "openai",
        "--root",
        shared.home.parent / "videos0",
    )
    tried, told = done.stderr.strip().splitlines()
    assert done.returncode == 1 and "downloaded now" in tried and told.startswith("error: ")
    where = "https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/main/open_clip_model.safetensors"
    assert (
        f"cannot be downloaded (FileNotFoundError); fetch {where} elsewhere and pass its file "
        "with --pretrained openai=FILE" in done.stderr
    )


@pytest.mark.parametrize(
    "arguments", [("fly",), ("extract", "--engine", "steam"), ("train", "--tasks", "two")]
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr

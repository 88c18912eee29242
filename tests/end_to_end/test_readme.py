"""Every command of README, and of the pages that it sends a user to, runs on small data.

The demo and test commands are what CI runs. docs/streams.md and docs/api.md have tests of their
own.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import QUICK, ROOT, Cli
from helpers.other_files import make_other_files
from structalign.evaluate.metrics import METRICS

PAGES = ("README.md", "docs/videos.md", "docs/cache.md", "docs/training.md")
SMALL = {  # added to a verb's command to make it fast; the rest of the command stays
    "extract": "--backbone demo --frames 4 --views 2 --engine inline --max-bad 1",
    "train": "--set epochs=1 --set rank=8 --set experts=2 --set batch=16",
    "sweep": "--set epochs=1 --set rank=8 --set experts=2 --set batch=16",
}


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


METHOD, VERBS = blocks("README.md", "python")
(DATASET,) = blocks("docs/videos.md", "python")


def commands(page: str) -> list[str]:
    """The lines of a page's bash blocks, without comments."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.strip()]


def verbs_of(page: str) -> list[str]:
    """The verbs of a page's commands."""
    return [line.split()[1] for line in commands(page)]


def small(command: str) -> list[str]:
    """The arguments of a command, with fewer tasks and seeds, the demo's videos as MSR-VTT."""
    _, verb, *rest = shlex.split(command)
    line = [verb, *rest, *shlex.split(SMALL.get(verb, ""))]
    line += ["--name", "manifest"] if rest[:2] == ["--dataset", "msrvtt"] else []
    line = [{"msrvtt": "manifest", "0,1,2": "0"}.get(part, part) for part in line]
    pairs = zip(["", *line], line, strict=False)
    return ["2" if previous == "--tasks" else part for previous, part in pairs]


def test_the_two_commands_are_what_ci_runs() -> None:
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    assert commands("README.md")[:2] == ["make demo", "make test"]
    assert (
        "demo: $(STAMP)\n\t$(BIN)/structalign demo" in makefile
        and "make test" in ci
        and "structalign demo" in ci
    )


def test_the_demo_prints_the_columns_that_readme_shows() -> None:
    (header,) = re.findall(r"^ +stage  .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    columns = ["stage", *(metric.title for metric in METRICS), "BWF ↓"]
    assert header.strip().split("  ") == columns


def test_the_pages_use_every_verb() -> None:
    every = [command for page in PAGES for command in commands(page)[2 * (page == "README.md") :]]
    assert all(command.startswith("structalign ") for command in every)
    verbs = "extract train append eval sweep report search cache"
    assert {command.split()[1] for command in every} == set(verbs.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.xdist_group("ray")] * ("sweep" in verbs_of(page)))
        for page in PAGES
    ],
)
def test_every_other_command(
    page: str, shared: Cli, videos: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In the order of the page.

    The demo's own videos under a manifest replace MSR-VTT; the method and the dataset in one file
    are saved as the pages say.
    """
    cli = Cli(tmp_path)
    if "sweep" in verbs_of(page):
        cli.environment |= request.getfixturevalue("joined")
    for name in ("MSRVTT", "VIDEOS"):
        shutil.copytree(videos, tmp_path / name)
    manifest = tmp_path / "VIDEOS" / "manifest.csv"
    manifest.write_text("\n".join(manifest.read_text().splitlines()[:-1]) + "\n")
    (tmp_path / "smoothed.py").write_text(METHOD)
    (tmp_path / "file_names.py").write_text(DATASET)
    for source in (shared.home / "cache" / "caches").iterdir():
        shutil.copytree(source, tmp_path / "cache" / "caches" / source.name)
    lines = [small(line) for line in commands(page) if not line.startswith("make ")]
    if page == "docs/videos.md":
        cli.json("train", *QUICK, "--out", "RUN")
        make_other_files(tmp_path / "VIDEOS")
    if page == "docs/cache.md":
        cli.json(*small("structalign extract --dataset manifest --root VIDEOS --name mine"))
    for line in lines:
        done = cli(*line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    if page == "README.md":
        sweep = json.loads((tmp_path / "runs" / "sweep" / "sweep.json").read_text())
        assert set(sweep["methods"]) == {"finetune", "smoothed"}


@pytest.mark.slow
def test_the_verbs_as_functions(cli: Cli, videos: Path, tmp_path: Path) -> None:
    """README's Python, with the demo backbone, in a process of its own."""
    shutil.copytree(videos, tmp_path / "VIDEOS")
    shutil.copyfile(next(videos.glob("*.mp4")), tmp_path / "VIDEOS" / "ball.mp4")
    smaller = 'root="VIDEOS", backbone="demo", frames=4, views=2, engine="inline"'
    code = VERBS.replace('root="VIDEOS"', smaller).replace("tasks=2", "tasks=2, epochs=1")
    code += "print(results.recall, results.forgetting, len(hits), text.shape, video.shape)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=cli.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'R@1'" in done.stdout and "torch.Size([4, 128])" in done.stdout

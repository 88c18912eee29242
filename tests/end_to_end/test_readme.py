"""Every command of README is run, on data small enough.

The demo and test commands are what CI runs.
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

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()
]
SMALL = {  # what makes each verb small; everything else of the line stays
    "extract": "--backbone demo --frames 4 --views 2 --engine inline --max-bad 1",
    "train": "--set epochs=1 --set rank=8 --set experts=2 --set batch=16",
    "sweep": "--set epochs=1 --set rank=8 --set experts=2 --set batch=16",
}


def test_the_two_commands_are_what_ci_runs() -> None:
    makefile, ci = (ROOT / "Makefile").read_text(), (ROOT / ".ci" / "run").read_text()
    assert COMMANDS[:2] == ["make demo", "make test"] and all(
        command.startswith("structalign ") for command in COMMANDS[2:]
    )
    assert (
        "demo: $(STAMP)\n\t$(BIN)/structalign demo" in makefile
        and "make test" in ci
        and "structalign demo" in ci
    )


def test_every_document_it_names_is_there() -> None:
    assert all((ROOT / name).is_file() for name in re.findall(r"\]\((?!http)([^)]+)\)", README))


@pytest.mark.slow
def test_every_other_command(shared: Cli, videos: Path, tmp_path: Path) -> None:
    """In the order in which they stand; the demo's own videos under a manifest stand for MSR-VTT.

    The method in one file is saved as README says.
    """
    cli = Cli(tmp_path)
    for name in ("MSRVTT", "VIDEOS"):
        shutil.copytree(videos, tmp_path / name)
    manifest = tmp_path / "VIDEOS" / "manifest.csv"
    manifest.write_text("\n".join(manifest.read_text().splitlines()[:40]) + "\n")
    (tmp_path / "smoothed.py").write_text(PYTHON[1])
    shared.json("train", *QUICK, "--out", tmp_path / "RUN")
    for source in (shared.home / "cache" / "caches").iterdir():
        shutil.copytree(source, tmp_path / "cache" / "caches" / source.name)
    ran = []
    for command in COMMANDS[2:]:
        _, verb, *rest = shlex.split(command)
        line = [verb, *rest, *shlex.split(SMALL.get(verb, ""))]
        line += ["--name", "manifest"] if rest[:2] == ["--dataset", "msrvtt"] else []
        line = [{"msrvtt": "manifest", "0,1,2": "0"}.get(part, part) for part in line]
        pairs = zip(["", *line], line, strict=False)
        line = ["2" if previous == "--tasks" else part for previous, part in pairs]
        if verb == "cache" and rest[0] == "rm":
            line[2] = "mine"
        done = cli(*line)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        ran.append(verb)
    verbs = "extract train append eval sweep report search cache"
    assert set(ran) == set(verbs.split())
    rows = json.loads((tmp_path / "runs" / "sweep" / "sweep.json").read_text())["methods"]
    assert set(rows) == {"finetune", "smoothed"}


def test_the_verbs_as_functions(cli: Cli, videos: Path, tmp_path: Path) -> None:
    """README's Python, with the demo backbone, in a process of its own."""
    shutil.copytree(videos, tmp_path / "VIDEOS")
    shutil.copyfile(next(videos.glob("*.mp4")), tmp_path / "VIDEOS" / "ball.mp4")
    small = 'root="VIDEOS", backbone="demo", frames=4, views=2, engine="inline"'
    code = PYTHON[0].replace('root="VIDEOS"', small).replace("tasks=2", "tasks=2, epochs=1")
    code += "print(results.recall, results.forgetting, len(hits), text.shape, video.shape)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=cli.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'R@1'" in done.stdout and "torch.Size([4, 128])" in done.stdout

"""docs/streams.md: a person's week, command after command, as it is written."""

import re
import shlex
import subprocess
import sys

import pytest
from helpers.cli import ROOT, Cli
from structalign.extract.datasets.demo.files import write_clip
from structalign.extract.datasets.demo.world import WorldClip

PAGE = (ROOT / "docs" / "streams.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SMALL = {
    "extract": "--backbone demo --frames 4 --views 2 --engine inline",
    "train": "--set epochs=1 --set rank=8",
}
DAYS = ("monday", "tuesday", "wednesday", "thursday")


@pytest.mark.slow
def test_the_week(cli: Cli, world_clips: list[WorldClip]) -> None:
    for number, day in enumerate(DAYS):
        folder = cli.home / day
        folder.mkdir()
        mine = world_clips[number::8]
        for clip in mine:
            write_clip(clip, folder)
        rows = [f"{clip.name},{clip.name}.mp4,{text}" for clip in mine for text in clip.captions]
        (folder / "manifest.csv").write_text("\n".join(["clip_id,path,caption", *rows]) + "\n")
    ran, shown = [], ""
    for command in COMMANDS:
        _, verb, *rest = shlex.split(command)
        done = cli(verb, *rest, *SMALL.get(verb, "").split())
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        ran.append(verb)
        shown += done.stdout + done.stderr
    assert ran.count("append") == 2 and set(ran) == {
        "extract", "train", "search", "append", "eval", "report"
    }  # fmt: skip
    searched = [int(n) for n in re.findall(r"(\d+) clips searched", shown)]
    assert searched == [4, 8, 16], "what was learnt, and Thursday's besides"
    page = (cli.home / "week" / "report.html").read_text()
    assert all(f"<td>{day}, " in page for day in DAYS[:3]) and "say nothing about new ones" in page
    done = subprocess.run(
        [sys.executable, "-c", PYTHON], cwd=cli.home, env=cli.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 tasks, forgetting" in done.stdout

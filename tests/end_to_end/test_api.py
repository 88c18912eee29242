"""docs/api.md, block after block in one process, as a notebook would run it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import ROOT, Cli

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_every_block_runs(cli: Cli, videos: Path, tmp_path: Path) -> None:
    shutil.copytree(videos, tmp_path / "VIDEOS")
    code = "\n".join(f"print('## block {n}')\n{block}" for n, block in enumerate(BLOCKS, 1))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=cli.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("## block") == len(BLOCKS) == 9
    for line in (
        "32 clips, 0 in quarantine",
        "1 of 2 tasks",
        "2 of 2 tasks, in",
        "32 clips searched",
    ):
        assert line in done.stdout
    assert "has no finished task yet; train it first" in done.stdout
    assert "torch.Size([2, 128]) torch.Size([128]) torch.Size([4, 128])" in done.stdout

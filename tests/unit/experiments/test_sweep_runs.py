"""An exception in a person's own method is its run's failure; the other runs go on."""

from pathlib import Path

import pytest
from helpers.cli import QUICK, Cli

MINE = """
from structalign.train.methods.finetune import Finetune


class Mine(Finetune):
    def losses(self, batch):
        raise {}("my mistake")
"""


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_an_exception_of_a_method_of_ones_own(shared: Cli, tmp_path: Path) -> None:
    method, out = tmp_path / "mine.py", tmp_path / "sweep"
    method.write_text(MINE.format("KeyError"))
    line = ("sweep", "--methods", f"{method},zeroshot", "--seeds", "0", *QUICK, "--out", out)
    told = shared.error(*line)
    assert "1 of 2 runs failed" in told and "KeyError: 'my mistake' (traceback in " in told
    (traceback,) = out.glob("*/traceback.txt")
    text = traceback.read_text()
    assert "mine.py" in text and "in losses" in text and "\x1b" not in text
    assert len(list(out.glob("*zeroshot*/results.json"))) == 1
    method.write_text(MINE.format("ZeroDivisionError"))
    assert "the method's file has changed" in shared.error(*line)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_method_of_ones_own_that_exits(
    shared: Cli, tmp_path: Path, joined: dict[str, str]
) -> None:
    """Its last words were lost, and Ray's log came instead."""
    method, out = tmp_path / "mine.py", tmp_path / "sweep"
    method.write_text(MINE.format("SystemExit"))
    line = ("sweep", "--methods", f"{method},zeroshot", "--seeds", "0", *QUICK, "--out", out)
    cli = Cli(shared.home)
    cli.environment |= joined
    told = cli.error(*line)
    assert "1 of 2 runs failed" in told and "called exit: my mistake (traceback in " in told
    (traceback,) = out.glob("*/traceback.txt")
    assert "in losses" in traceback.read_text()
    assert len(list(out.glob("*zeroshot*/results.json"))) == 1

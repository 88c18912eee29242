"""A sweep's folder stands for the runs that its sweep.json lists."""

import json
from pathlib import Path

import pytest
from structalign.core.errors import StructAlignError
from structalign.evaluate.report.finished_runs import runs_of


def test_the_runs_of_a_sweep(tmp_path: Path) -> None:
    """Also after the folder was moved; tries and runs of earlier sweeps are not among them."""
    assert runs_of(tmp_path / "run") == [tmp_path / "run"]
    rows = [{"run": f"/elsewhere/sweep/{name}"} for name in ("b", "a", "b")]
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": rows}))
    assert runs_of(tmp_path) == [tmp_path / "b", tmp_path / "a"]
    for text in ("{", "{}", "[]", '{"runs": [1]}'):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(StructAlignError, match=r"sweep\.json cannot be read"):
            runs_of(tmp_path)

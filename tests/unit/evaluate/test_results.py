"""Results of runs that an earlier version measured."""

import json
from pathlib import Path

from helpers.cli import QUICK, Cli
from structalign.evaluate import evaluate
from structalign.evaluate.results import make_results, read_results
from structalign.train.runs.run import Run


def test_warnings_of_version_0_3_are_kept(shared: Cli, tmp_path: Path) -> None:
    """It wrote them as "doubts", in the stages and in results.json: they were lost in silence."""
    run, line = tmp_path / "run", "the simplex is full"
    shared.json("train", *QUICK, "--method", "zeroshot", "--out", run)
    for file in (*(run / "stages").glob("*.json"), run / "results.json"):
        body = json.loads(file.read_text())
        del body["warnings"]
        file.write_text(json.dumps({**body, "doubts": [line]}))
    assert line in read_results(run)["warnings"]
    opened = Run.open(run, cache_root=shared.home / "cache")
    assert line in make_results(opened).warnings
    assert line not in evaluate(opened).warnings  # measured again by this version

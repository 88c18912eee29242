"""Results of runs that an earlier version measured."""

import json
from pathlib import Path

from helpers.cli import EXTRACT, QUICK, Cli
from helpers.runs import as_version_0_3
from structalign.evaluate import evaluate
from structalign.evaluate.results import make_results, read_results
from structalign.train.runs.run import Run


def test_warnings_of_version_0_3_are_kept(shared: Cli, tmp_path: Path) -> None:
    """It wrote them as "doubts", in the stages and in results.json: they were lost in silence."""
    run, line = tmp_path / "run", "the simplex is full"
    shared.json("train", *QUICK, "--method", "zeroshot", "--out", run)
    as_version_0_3(run)
    for file in (*(run / "stages").glob("*.json"), run / "results.json"):
        body = json.loads(file.read_text())
        del body["warnings"]
        file.write_text(json.dumps({**body, "doubts": [line]}))
    assert line in read_results(run)["warnings"]
    opened = Run.open(run, cache_root=shared.home / "cache")
    assert line in make_results(opened).warnings
    assert line not in evaluate(opened).warnings  # measured again by this version


def test_captions_beyond_the_text_tower_are_counted(cli: Cli, videos: Path, tmp_path: Path) -> None:
    """At extract and in the results: their ends are read by nobody."""
    lines = (videos / "manifest.csv").read_text().splitlines()
    for row in (1, 2):
        lines[row] = lines[row].rpartition(",")[0] + "," + "ball " * 40
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    own = ("--root", videos, "--splits", tmp_path / "manifest.csv")
    done = cli(*EXTRACT, *own, "--cut", "4")
    said = "captions are longer than the 32 tokens that the text tower reads"
    assert f"2 of {len(lines) - 1} {said}" in done.stderr, done.stderr
    results = cli.json("train", *QUICK, "--method", "zeroshot", "--out", tmp_path / "run")
    (line,) = [line for line in results["warnings"] if said in line]
    assert line.startswith("2 of ")

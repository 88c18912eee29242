"""Intervals: figures equal the results', pairing, and coverage of the truth."""

from pathlib import Path

import pytest
import torch
from helpers.cli import Cli
from helpers.runs import quick_run, shared_cache
from structalign.core.errors import StructAlignError
from structalign.evaluate.bootstrap import AVERAGES, Outcomes, PairedBootstrap, read_outcomes
from structalign.evaluate.results import read_results


@pytest.mark.parametrize("eval_every", [1, 2])
def test_contributions_add_up_to_the_results(shared: Cli, tmp_path: Path, eval_every: int) -> None:
    run = quick_run(shared_cache(shared), tmp_path / "run", eval_every=eval_every).path
    results = read_results(run)
    outcome = read_outcomes(run, results["categories"])
    assert len(outcome.queries) == len(set(outcome.queries)) == results["final"]["queries"]
    assert {"R@1", "R@10", "MeanR"} <= {metric.name for metric in AVERAGES}
    for metric in AVERAGES:
        value = results["final"]["t2v"][metric.name]
        assert float(outcome.figures[metric.name].sum()) == pytest.approx(value)
    assert float(outcome.figures["BWF"].sum()) == pytest.approx(results["final"]["BWF_stored"])


def test_a_run_without_query_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StructAlignError, match="eval --again"):
        read_outcomes(tmp_path, [["a"], ["b"]])


def outcomes(hits: torch.Tensor) -> Outcomes:
    count = len(hits)
    figures = dict.fromkeys(("R@1", "BWF"), 100 * hits.double() / count)
    names = tuple((str(n), 0) for n in range(count))
    return Outcomes(names, tuple("ab"[n % 2] for n in range(count)), figures)


def test_a_constant_difference_has_no_width_and_a_random_one_covers_the_truth() -> None:
    """Pairing: what both methods share cancels. Coverage over 200 worlds of 400 queries."""
    rng = torch.Generator().manual_seed(0)
    easy = torch.rand(400, generator=rng) < 0.5
    same = {method: {("world", "0"): outcomes(easy)} for method in "mn"}
    paired = PairedBootstrap(same, torch.Generator().manual_seed(1), 200)
    difference = paired.interval("R@1", "m", "n")
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert paired.interval("R@1", "m").high - paired.interval("R@1", "m").low > 5
    covered = 0
    for _ in range(200):
        runs = {
            "m": {("world", "0"): outcomes(torch.rand(400, generator=rng) < 0.5)},
            "n": {("world", "0"): outcomes(torch.rand(400, generator=rng) < 0.4)},
        }
        interval = PairedBootstrap(runs, rng, 200).interval("R@1", "m", "n")
        covered += interval.low <= 10 <= interval.high
    assert 180 <= covered <= 198


def test_methods_must_have_the_same_runs_and_queries() -> None:
    hits = torch.ones(4)
    runs = {"m": {("w", "0"): outcomes(hits)}, "n": {("w", "1"): outcomes(hits)}}
    with pytest.raises(StructAlignError, match="n and m have different runs"):
        PairedBootstrap(runs, torch.Generator())

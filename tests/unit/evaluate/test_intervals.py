"""Intervals: figures equal the results', pairing, and coverage of the truth."""

import json
from pathlib import Path

import pytest
import torch
from helpers.cli import Cli
from structalign.cache.reader import FeatureCache
from structalign.core.errors import StructAlignError
from structalign.evaluate.intervals import FIGURES, Outcomes, PairedBootstrap, read_outcomes
from structalign.evaluate.query_results import QueryResult, read_query_results
from structalign.evaluate.results import read_results
from structalign.experiments.driver import train_and_measure
from structalign.train.runs.create import create_run
from structalign.train.runs.folder import answers_file


@pytest.fixture(scope="module")
def cache(shared: Cli) -> FeatureCache:
    return FeatureCache.open(shared.json("cache", "info")["path"])


def trained(cache: FeatureCache, folder: Path, **settings: object) -> Path:
    run = create_run(
        cache, "finetune", 2, out=folder, device="cpu", log=lambda *_: None,
        settings={"epochs": 1, "lr_text": 3e-2, **settings},
    )  # fmt: skip
    train_and_measure(run, None, 1e9, lambda *_: None, lambda *_: None)
    return folder


@pytest.mark.parametrize("eval_every", [1, 2])
def test_contributions_add_up_to_the_results(
    cache: FeatureCache, tmp_path: Path, eval_every: int
) -> None:
    run = trained(cache, tmp_path / "run", eval_every=eval_every)
    results = read_results(run)
    found = read_outcomes(run, results["categories"])
    assert len(found.queries) == len(set(found.queries)) == results["final"]["queries"]
    for name in ("R@1", "R@10"):
        assert float(found.figures[name].sum()) == pytest.approx(results["final"]["t2v"][name])
    assert float(found.figures["BWF"].sum()) == pytest.approx(results["final"]["BWF_stored"])


def test_answers_name_the_clips_that_came_first(cache: FeatureCache, tmp_path: Path) -> None:
    run = trained(cache, tmp_path / "run")
    answers = read_query_results(run, 2)
    for answer in answers:
        assert (answer.rank_seen == 1) == (answer.found[0] == answer.clip), answer
        assert answer.category == cache.catalog[answer.clip].category
        assert answer.caption in cache.catalog[answer.clip].captions
    assert {answer.task for answer in answers} == {1, 2}
    assert {answer.task for answer in read_query_results(run, 1)} == {1}
    assert read_query_results(run, 3) == []


def test_damaged_and_missing_answers_are_said(cache: FeatureCache, tmp_path: Path) -> None:
    run = trained(cache, tmp_path / "run")
    categories = read_results(run)["categories"]
    answers_file(run, 1).write_text(json.dumps({"task": 1}) + "\n")
    with pytest.raises(StructAlignError, match="is damaged"):
        read_outcomes(run, categories)
    answers_file(run, 2).unlink()
    with pytest.raises(StructAlignError, match="eval --again"):
        read_outcomes(run, categories)


def outcomes(hits: torch.Tensor) -> Outcomes:
    count = len(hits)
    figures = dict.fromkeys(FIGURES, 100 * hits.double() / count)
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
        one = PairedBootstrap(runs, rng, 200).interval("R@1", "m", "n")
        covered += one.low <= 10 <= one.high
    assert 180 <= covered <= 198


def test_methods_must_have_the_same_runs_and_queries() -> None:
    hits = torch.ones(4)
    runs = {"m": {("w", "0"): outcomes(hits)}, "n": {("w", "1"): outcomes(hits)}}
    with pytest.raises(StructAlignError, match="n has not the runs"):
        PairedBootstrap(runs, torch.Generator())


def test_an_answer_is_plain_values() -> None:
    one = QueryResult(1, "a", "b", "c", 1.0, None, ())
    assert json.loads(json.dumps(one.to_json()))["rank"] == 1.0

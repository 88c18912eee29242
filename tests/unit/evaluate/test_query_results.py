"""What is written of each caption names the clips that came first, task by task."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from helpers.cli import Cli
from helpers.runs import quick_run, shared_cache
from structalign.core.errors import StructAlignError
from structalign.evaluate.query_results import QueryResult, first_clips, read_query_results
from structalign.train.runs.folder import query_results_file


def test_results_name_the_clips_that_came_first(shared: Cli, tmp_path: Path) -> None:
    cache = shared_cache(shared)
    run = quick_run(cache, tmp_path / "run").path
    results = read_query_results(run, 2)
    for result in results:
        assert (result.rank_seen == 1) == (result.found[0] == result.clip), result
        assert result.category == cache.catalog[result.clip].category
        assert result.caption in cache.catalog[result.clip].captions
    assert {result.task for result in results} == {1, 2}
    assert {result.task for result in read_query_results(run, 1)} == {1}
    assert read_query_results(run, 3) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    query_results_file(tmp_path, 1).parent.mkdir()
    query_results_file(tmp_path, 1).write_text(json.dumps({"task": 1}) + "\n")
    with pytest.raises(StructAlignError, match=r"01-answers.jsonl is damaged .*eval --again"):
        read_query_results(tmp_path, 1)


def test_a_result_is_plain_values() -> None:
    result = QueryResult(1, "a", "b", "c", 1.0, None, ())
    assert json.loads(json.dumps(asdict(result)))["rank"] == 1.0


def test_clips_of_equal_scores_come_in_the_gallerys_order() -> None:
    names = [f"clip{n}" for n in range(300)]
    scores = torch.zeros(2, 300)
    scores[1, 7] = 1
    assert first_clips(scores, names) == [
        ("clip0", "clip1", "clip2"), ("clip7", "clip0", "clip1"),
    ]  # fmt: skip
    assert first_clips(scores[:, :2], names[:2])[0] == ("clip0", "clip1")

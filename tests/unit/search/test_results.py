"""One JSON for the command line and HTTP, in which a key has one meaning; and the table."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.cli import Cli
from structalign.cache import FeatureCache
from structalign.cache.times import ClipTimes
from structalign.search.results import clip_json
from structalign.search.searcher import Searcher
from structalign.search.web.responses import Result, links, make_response

CONTRACT = {"clip", "score", "word_frame", "global", "start", "end", "path"}
HTTP_CONTRACT = {
    "clip", "video", "rank", "word_frame", "global", "start", "end", "frame", "matches",
}  # fmt: skip


def test_similarities_are_cosines_and_the_score_is_the_sum_of_its_parts(searcher: Searcher) -> None:
    body = searcher.search("a red star", 100).to_json()
    assert body["query"] == "a red star" and body["clips"] == len(body["results"]) == 32
    for rank, result in enumerate(body["results"], 1):
        assert set(result) >= CONTRACT and result["rank"] == rank
        assert -1 <= result["word_frame"] <= 1 and -1 <= result["global"] <= 1
        assert set(result["score_parts"]) == {"word_to_frame", "frame_to_word", "global"}
        assert result["score"] == pytest.approx(sum(result["score_parts"].values()), abs=1e-5)
        assert 1 <= result["frame"] <= result["frame_count"] == 4
        assert [match["word"] for match in result["matches"]] == ["a", "red", "star"]
        assert len(result["frame_words"]) == 4


def test_every_result_says_when(searcher: Searcher, cache: FeatureCache) -> None:
    results = searcher.search("a red star", 100)
    for result, body in zip(results, results.to_json()["results"], strict=True):
        times = cache.times(result.clip.id)
        assert times and body["times"] == list(times.frames) and body["duration"] == times.end
        assert body["time"] == times.frames[body["frame"] - 1] < body["duration"]
    best = results.to_json()["results"][0]["time"]
    assert f"whole video, best at {best:.1f} s" in results.table()


def test_a_picture_that_begins_late_shifts_the_clips_bounds(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog counts from the first frame, a player from the beginning of the file."""
    part = replace(cache.catalog.clips[0], start=0.5, end=1.5)
    keys = ("start", "end", "duration")
    for times, expected in (
        (ClipTimes((2.6, 3.0, 3.2, 3.4), 2.0, 6.0), (2.5, 3.5, 6.0)),
        (None, (0.5, 1.5, None)),  # a cache of version 0.3
    ):
        monkeypatch.setattr(cache, "times", lambda clip, times=times: times)
        assert tuple(clip_json(cache, part)[key] for key in keys) == expected


def test_http_adds_the_run_and_links_and_changes_nothing(
    searcher: Searcher, cache: FeatureCache
) -> None:
    video = searcher.evaluated[0].block.embeddings[0]
    for results in (searcher.search("a red star", 3), searcher.search_alike(video, "x.mp4", 3)):
        response = make_response(results, "mine").model_dump(by_alias=True)
        assert response.pop("run") == "mine"
        assert set(response["results"][0]) >= HTTP_CONTRACT
        for result in response["results"]:
            added = {key: result.pop(key) for key in ("video", "thumbnail")}
            assert added == links(result["clip"], cache.fingerprint)
        assert response == results.to_json()
    described = {field.alias or name for name, field in Result.model_fields.items()}
    assert described - {"video", "thumbnail"} == set(response["results"][0])


def test_the_command_line_prints_json_or_a_table(
    shared: Cli, trained: Path, searcher: Searcher
) -> None:
    body = shared.json("search", trained, "a red star", "--top", "3")
    expected = searcher.search("a red star", 3).to_json()
    assert [result["clip"] for result in body["results"]] == [
        result["clip"] for result in expected["results"]
    ]
    for result, same in zip(body["results"], expected["results"], strict=True):
        assert result["word_frame"] == pytest.approx(same["word_frame"], abs=1e-5)
        assert result["global"] == pytest.approx(same["global"], abs=1e-5)
    printed = shared("search", trained, "a red star", "--top", "1").stdout
    assert body["results"][0]["clip"] in printed and printed.startswith("32 clips searched\n")
    for addend in ("words to frames", "frames to words", "whole clip", "star→"):
        assert addend in printed
    assert "the query has no word" in shared.error("search", trained, " ")
    assert "is not a run" in shared.error("search", trained.parent, "x")
    assert shared("search", trained, "red", "star").returncode == 2
    newest = shared("search", "a red star", "--top", "1", "--runs", trained.parent)
    assert newest.returncode == 0 and newest.stdout == printed
    assert shared("search", trained, "x", "--only").returncode == 2

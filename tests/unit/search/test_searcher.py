"""Searching agrees with evaluation, and does not depend on which other clips are searched."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.cli import EXTRACT, QUICK, Cli
from structalign.cache import FeatureCache, StructAlignError
from structalign.evaluate.ranks import text_to_video_ranks
from structalign.search.parts import ClipFilter
from structalign.search.results import SearchResult
from structalign.search.searcher import Searcher
from structalign.train.epoch_selection import joined_targets
from structalign.train.runs.run import Run

ALL = 100
QUERY = "two blue squares spin"


def of_test_split(results: Iterable[SearchResult]) -> list[SearchResult]:
    return [result for result in results if result.clip.split == "test"]


def first_is_right(searcher: Searcher, cache: FeatureCache) -> float:
    """Percentage of test clips that come first among test clips for their first caption."""
    clips = [clip for clip in cache.catalog if clip.split == "test"]
    firsts = [of_test_split(searcher.search(clip.captions[0], ALL))[0].clip for clip in clips]
    return 100 * sum(first == clip for first, clip in zip(firsts, clips, strict=True)) / len(clips)


@pytest.mark.parametrize("weight", [0.5, 0.1])
def test_the_first_clip_is_right_as_often_as_r1_says(
    run: Run, cache: FeatureCache, weight: float
) -> None:
    """Among test clips, on a world of a seed that nothing was tuned on; whatever is fused."""
    run.method.settings = replace(run.settings, fusion_weight=weight)
    queries = [run.stream.queries(task, run.method.tokenize) for task in (1, 2)]
    scores = run.gallery(2).score(run.method, torch.cat([q.token_ids for q in queries]))
    recall = text_to_video_ranks(scores, joined_targets(queries)).summary()["R@1"]
    assert first_is_right(Searcher(run), cache) == pytest.approx(recall)
    results = json.loads((run.path / "results.json").read_text())
    if weight == 0.5:
        assert recall == pytest.approx(results["final"]["t2v"]["R@1"])


def test_every_clip_of_the_cache_is_found_once(searcher: Searcher, cache: FeatureCache) -> None:
    """A new user who trained on 24 own videos could find 8 of them: the training clips too."""
    results = searcher.search("a red ball", ALL)
    assert results.clips == len(results) == len(cache) == 32
    assert {result.clip.id for result in results} == {clip.id for clip in cache.catalog}


def test_a_filter_leaves_scores_and_order_as_they_were(searcher: Searcher) -> None:
    everything = searcher.search(QUERY, ALL)
    category = everything[0].clip.category
    for where in (ClipFilter(task=2), ClipFilter(category=category), ClipFilter(cache="another")):
        results = searcher.search(QUERY, ALL, where)
        expected = [
            result for result in everything
            if where.task in (None, result.task) and where.cache is None
            and where.category in (None, result.clip.category)
        ]  # fmt: skip
        assert results.clips == len(results) == len(expected) < 32
        assert [result.clip for result in results] == [result.clip for result in expected]
        assert [result.score for result in results] == pytest.approx(
            [result.score for result in expected], abs=1e-5
        )


@pytest.mark.slow
def test_a_score_does_not_depend_on_what_else_is_searched(
    run: Run, cache: FeatureCache, cli: Cli, videos: Path
) -> None:
    line = (*EXTRACT, "--root", videos, "--cut", "4", "--limit", "8")
    few = FeatureCache.open(cli.json(*line)["path"])

    def scores(added: FeatureCache | None, only: bool = False) -> dict[str, float]:
        results = Searcher(run, added, only).search(QUERY, ALL)
        return {result.clip.id: result.score for result in results}

    alone, with_few, only_few = scores(None), scores(few), scores(few, only=True)
    assert len(alone) == len(with_few) == 32 and len(only_few) == 8
    best = {clip: max(score, only_few.get(clip, score)) for clip, score in alone.items()}
    assert with_few == pytest.approx(best, abs=1e-5)  # the better stands for the same video
    many = Searcher(run, cache, only=True).search(QUERY, ALL)
    by_clip = {result.clip.id: result.score for result in many}
    assert len(by_clip) == 32
    assert all(by_clip[clip] == pytest.approx(score, abs=1e-5) for clip, score in only_few.items())


def test_another_cut_is_refused(run: Run, cli: Cli, videos: Path) -> None:
    line = (*EXTRACT, "--root", videos, "--cut", "5", "--limit", "4")
    other = FeatureCache.open(cli.json(*line)["path"])
    with pytest.raises(
        StructAlignError, match=r"made with another cut than the run's \(5, not 4\)"
    ):
        Searcher(run, other)


@pytest.mark.parametrize("method", ["zeroshot", "framefusionmoe"])
def test_methods_that_learn_nothing_or_compare_whole_clips(
    shared: Cli, cache: FeatureCache, tmp_path: Path, method: str
) -> None:
    sizes = QUICK if method == "framefusionmoe" else ("--tasks", "2")
    body = shared.json("train", *sizes, "--method", method, "--out", tmp_path / "run")
    searcher = Searcher(Run.open(tmp_path / "run", cache, device="cpu"))
    assert first_is_right(searcher, cache) == pytest.approx(body["final"]["t2v"]["R@1"])
    is_whole = method == "framefusionmoe"
    results = searcher.search("a star", 2)
    for result in results:
        assert ("word_frame" in result.similarities) == bool(result.matches) == (not is_whole)
        if is_whole:
            assert result.similarities == result.score_parts == {"global": result.score}
    assert results.table().count("\n") == 2 * (1 if is_whole else 3)


def test_one_task_and_an_added_cache_of_the_very_same_clips(
    shared: Cli, cli: Cli, videos: Path, cache: FeatureCache, tmp_path: Path
) -> None:
    """Tensors of the run's part and of the equal added part were once compared with ==."""
    line = ("train", "--tasks", "1", "--method", "zeroshot", "--out", tmp_path / "run")
    shared.json(*line)
    for file in videos.glob("*.mp4"):
        (tmp_path / file.name).symlink_to(file)
    head, *rows = (videos / "manifest.csv").read_text().splitlines()
    kept = [row for row in rows if ",test," in row]
    (tmp_path / "manifest.csv").write_text("\n".join([head, *kept]) + "\n")
    same = FeatureCache.open(cli.json(*EXTRACT, "--root", tmp_path, "--cut", "4")["path"])
    run = Run.open(tmp_path / "run", cache, device="cpu")
    assert run.gallery(1).blocks[0].clips == tuple(clip.id for clip in same.catalog)
    results = of_test_split(Searcher(run).search(QUERY, ALL))
    added = Searcher(run, same, only=True).search(QUERY, ALL)
    scores = {result.clip: result.score for result in results}
    assert {result.clip: result.score for result in added} == pytest.approx(scores, abs=1e-5)


def test_queries_of_any_kind(searcher: Searcher) -> None:
    for query in ("zzzqqq xyzzy", "日本語 ß 🎉", "\x1b[31mred\x07", "word " * 10_000, "!"):
        assert len(searcher.search(query, 3)) == 3
    assert searcher.search("word " * 10_000).is_truncated
    assert not searcher.search("a word").is_truncated
    length = searcher.method.tokenizer.context - 2
    assert not searcher.search("red " * length).is_truncated  # every token is used
    assert searcher.search("red " * (length + 1)).is_truncated
    for nothing in ("", "   ", "\x07\n"):
        with pytest.raises(StructAlignError, match="the query has no word"):
            searcher.search(nothing, 1)


def test_a_video_finds_itself(searcher: Searcher) -> None:
    block = searcher.evaluated[0].block
    results = searcher.search_alike(block.embeddings[3], "mine.mp4", 3)
    assert results.query == "mine.mp4" and results.clips == 32
    assert results[0].clip.id == block.clips[3]
    assert results[0].similarities == {"global": pytest.approx(1.0)}


def test_a_marker_in_a_query_is_text(searcher: Searcher) -> None:
    """The query is read to its end, as every other."""
    short, whole = searcher.search("a", 1)[0], searcher.search("a <end_of_text> red ball", 1)[0]
    assert [match.word for match in short.matches] == ["a"]
    assert [match.word for match in whole.matches][-2:] == ["red", "ball"]


def test_clips_of_equal_scores_come_in_the_gallerys_order(run: Run) -> None:
    """Their order depended on ``--top``: a longer list did not begin with a shorter one."""
    searcher = Searcher(run)
    same = searcher.searched[0].block.embeddings[:1].clone()
    for part in searcher.searched:
        part.block.embeddings.copy_(same)
    lists = {top: [r.clip.id for r in searcher.search(QUERY, top)] for top in (3, 10, ALL)}
    assert lists[3] == lists[ALL][:3] and lists[10] == lists[ALL][:10]
    for task in (1, 2):  # tasks differ in their routes, so in their scores
        alike = [
            clip for part in searcher.searched if part.task == task for clip in part.block.clips
        ]
        assert [clip for clip in lists[ALL] if clip in alike] == alike
    frames = torch.ones(2, same.shape[-1])
    near = {top: [r.clip.id for r in searcher.search_alike(frames, "v", top)] for top in (5, ALL)}
    assert near[ALL] == [clip for part in searcher.searched for clip in part.block.clips]
    assert near[5] == near[ALL][:5]

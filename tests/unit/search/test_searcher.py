"""Searching agrees with evaluation, adds up, and does not depend on what else is searched."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.cli import EXTRACT, QUICK, Cli
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.evaluate.metrics import text_to_video_ranks
from structalign.search.results import SearchResult
from structalign.search.searcher import Searcher
from structalign.train.epoch_selection import joined_targets
from structalign.train.model.similarity import word_frame_similarity
from structalign.train.runs.run import Run

EVERYTHING = 100


@pytest.fixture(scope="module")
def run(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("searched") / "run"
    shared.json("train", *QUICK, "--out", path)
    return path


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    return CacheRoot(shared.home / "cache").find(None)


@pytest.fixture
def opened(cache: FeatureCache, run: Path) -> Run:
    return Run.open(run, cache, device="cpu")


def of_test(found: Iterable[SearchResult]) -> list[SearchResult]:
    return [one for one in found if one.clip.split == "test"]


@pytest.mark.parametrize("weight", [0.5, 0.1])
def test_the_first_clip_is_right_as_often_as_r1_says(
    opened: Run, cache: FeatureCache, weight: float
) -> None:
    """Among test clips, on a world of a seed that nothing was tuned on; whatever is fused."""
    opened.method.settings = replace(opened.settings, fusion_weight=weight)
    searcher = Searcher(opened)
    clips = [clip for clip in cache.catalog if clip.split == "test"]
    found = [of_test(searcher.search(clip.captions[0], EVERYTHING))[0] for clip in clips]
    right = sum(one.clip == clip for one, clip in zip(found, clips, strict=True))
    assert all(one.score == pytest.approx(one.word_frame + one.global_, abs=1e-5) for one in found)
    queries = [opened.stream.queries(task, opened.method.tokenize) for task in (1, 2)]
    scores = opened.gallery(2).score(opened.method, torch.cat([q.ids for q in queries]))
    ranks = text_to_video_ranks(scores, joined_targets(queries))
    assert 100 * right / len(clips) == pytest.approx(ranks.summary()["R@1"])
    results = json.loads((opened.path / "results.json").read_text())
    if weight == 0.5:
        assert ranks.summary()["R@1"] == pytest.approx(results["final"]["t2v"]["R@1"])
    assert results["final"]["queries"] == len(clips)


def test_every_clip_of_the_cache_is_found_once(opened: Run, cache: FeatureCache) -> None:
    """A new user who trained on 24 own videos could find 8 of them: the training clips too."""
    found = Searcher(opened).search("a red ball", EVERYTHING)
    assert found.clips == len(found) == len(cache) == 32
    assert {one.clip.id for one in found} == {clip.id for clip in cache.catalog}


def test_the_parts_add_up_and_are_the_formula(opened: Run) -> None:
    searcher = Searcher(opened)
    found = searcher.search("a small red ball moves left", EVERYTHING)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert one.word_frame is not None
        assert one.word_to_frame is not None and one.frame_to_word is not None
        assert one.score == pytest.approx(one.word_frame + one.global_, abs=1e-5)
        assert one.word_frame == pytest.approx(one.word_to_frame + one.frame_to_word, abs=1e-5)
        words = [match.word for match in one.matches]
        assert words == ["a", "small", "red", "ball", "moves", "left"]
        assert all(1 <= match.frame <= 4 and -1 <= match.cosine <= 1 for match in one.matches)
    over = torch.tensor([one.score for one in of_test(found)])
    assert float(over.mean()) == pytest.approx(0, abs=1e-4)  # standardised over the test gallery
    block = next(p.block for p in searcher.gallery if of_test(found)[0].clip.id in p.block.clips)
    ids = opened.method.tokenize(["a small red ball moves left"])
    text = opened.method.encode_texts(ids, block.task)
    own = word_frame_similarity(block.embeddings, text.words, text.lengths)[:, 0]
    by_clip = {one.clip.id: one.word_frame for one in found}
    order = torch.tensor([by_clip[clip] for clip in block.clips])
    assert torch.corrcoef(torch.stack([own, order]))[0, 1] > 0.9999


@pytest.mark.slow
def test_a_score_does_not_depend_on_what_else_is_searched(
    opened: Run, cache: FeatureCache, cli: Cli, videos: Path
) -> None:
    line = (*EXTRACT, "--root", videos, "--cut", "4", "--limit", "8")
    few = FeatureCache.open(cli.json(*line)["path"])

    def scores(added: FeatureCache | None, only: bool = False) -> dict[tuple[str, str], float]:
        found = Searcher(opened, added, only).search("two blue squares spin", EVERYTHING)
        return {(one.cache.fingerprint, one.clip.id): one.score for one in found}

    own, with_few, few_alone = scores(None), scores(few), scores(few, only=True)
    assert len(own) == 32 and len(with_few) == 40 and len(few_alone) == 8
    apart = {**own, **few_alone}
    assert all(with_few[key] == pytest.approx(value, abs=1e-5) for key, value in apart.items())
    many = Searcher(opened, cache, only=True).search("two blue squares spin", EVERYTHING)
    by_clip = {one.clip.id: one.score for one in many}
    assert len(by_clip) == 32
    assert all(by_clip[c] == pytest.approx(v, abs=1e-5) for (_, c), v in few_alone.items())


def test_another_cut_is_refused(opened: Run, cli: Cli, videos: Path) -> None:
    line = (*EXTRACT, "--root", videos, "--cut", "5", "--limit", "4")
    other = FeatureCache.open(cli.json(*line)["path"])
    with pytest.raises(
        StructAlignError, match=r"made with another cut than the run's \(5, not 4\)"
    ):
        Searcher(opened, other)


@pytest.mark.parametrize("method", ["zeroshot", "framefusionmoe"])
def test_methods_that_learn_nothing_or_compare_whole_clips(
    shared: Cli, cache: FeatureCache, tmp_path: Path, method: str
) -> None:
    sizes = QUICK if method == "framefusionmoe" else ("--tasks", "2")
    results = shared.json("train", *sizes, "--method", method, "--out", tmp_path / "run")
    searcher = Searcher(Run.open(tmp_path / "run", cache, device="cpu"))
    clips = [clip for clip in cache.catalog if clip.split == "test"]
    found = [of_test(searcher.search(clip.captions[0], EVERYTHING))[0] for clip in clips]
    right = sum(one.clip == clip for one, clip in zip(found, clips, strict=True))
    assert 100 * right / len(clips) == pytest.approx(results["final"]["t2v"]["R@1"])
    whole = method == "framefusionmoe"
    assert all((one.word_frame is None) == whole and bool(one.matches) != whole for one in found)
    table = searcher.search("a star", 2).table()
    assert table.count("\n") == 2 * (1 if whole else 3)


def test_one_task_and_an_added_cache_of_the_very_same_clips(
    shared: Cli, cli: Cli, videos: Path, cache: FeatureCache, tmp_path: Path
) -> None:
    """The added clips were once compared with the run's own, which tensors do not bear."""
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
    own = of_test(Searcher(run).search("two blue squares spin", EVERYTHING))
    added = Searcher(run, same, only=True).search("two blue squares spin", EVERYTHING)
    by_clip = {one.clip: one.score for one in added}
    assert len(own) == len(by_clip)
    assert all(by_clip[one.clip] == pytest.approx(one.score, abs=1e-5) for one in own)


def test_queries_of_any_kind(opened: Run) -> None:
    searcher = Searcher(opened)
    for query in ("zzzqqq xyzzy", "日本語 ß 🎉", "\x1b[31mred\x07", "word " * 10_000, "!"):
        assert len(searcher.search(query, 3)) == 3
    assert searcher.search("word " * 10_000).is_truncated
    assert not searcher.search("a word").is_truncated
    for nothing in ("", "   ", "\x07\n"):
        with pytest.raises(StructAlignError, match="the query has no word"):
            searcher.search(nothing, 1)


def test_by_the_command_line(shared: Cli, run: Path, tmp_path: Path) -> None:
    thumbs = tmp_path / "thumbs"
    body = shared.json("search", run, "a red star", "--top", "3", "--thumbnails", thumbs)
    assert body["query"] == "a red star" and len(body["results"]) == 3 and body["clips"] == 32
    keys = {"clip", "score", "word_frame", "global", "start", "end", "path"}
    assert keys <= set(body["results"][0])
    pictures = [f"{n:02d}-{row['clip']}.jpg" for n, row in enumerate(body["results"], 1)]
    assert sorted(file.name for file in thumbs.iterdir()) == pictures
    printed = shared("search", run, "a red star", "--top", "1").stdout
    assert body["results"][0]["clip"] in printed and printed.startswith("32 clips searched\n")
    assert "words to frames" in printed and "star→" in printed
    nowhere = ("--thumbnails", tmp_path / "none", "--root", tmp_path)
    elsewhere = shared("search", run, "a red star", "--top", "1", *nowhere)
    assert elsewhere.returncode == 0
    assert "no thumbnail of" in elsewhere.stderr and "missing" in elsewhere.stderr
    assert "the query has no word" in shared.error("search", run, " ")
    assert "is not a run" in shared.error("search", tmp_path, "x")
    assert shared("search", run, "red", "star").returncode == 2
    newest = shared("search", "a red star", "--top", "1", "--runs", run.parent)
    assert newest.returncode == 0 and newest.stdout == printed
    assert shared("search", run, "x", "--only").returncode == 2

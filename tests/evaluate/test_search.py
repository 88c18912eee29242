"""Searching says what evaluation says, adds up, and does not depend on what else is searched."""

import json
from pathlib import Path

import pytest
import torch

from cache import CacheRoot, FeatureCache, StructAlignError
from evaluate.found import found_table
from evaluate.search import Searcher, cut_off
from tests.conftest import EXTRACT, Cli
from tests.end_to_end.test_pipeline import QUICK
from train.experiment import Experiment, make_experiment
from train.runs import Run
from train.similarity import word_frame_similarity


@pytest.fixture(scope="module")
def run(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("searched") / "run"
    shared.json("train", *QUICK, "--out", path)
    return path


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    return CacheRoot(shared.home / "cache").find(None)


@pytest.fixture
def experiment(cache: FeatureCache, run: Path) -> Experiment:
    return make_experiment(cache, Run.open(run).config, torch.device("cpu"))


def test_the_first_clip_is_right_as_often_as_r1_says(experiment: Experiment, run: Path, cache: FeatureCache) -> None:
    """On a world of a seed that nothing was tuned on."""
    searcher = Searcher(experiment, Run.open(run))
    clips = [clip for clip in cache.catalog if clip.split == "test"]
    right = [searcher.search(clip.captions[0], 1)[0].clip == clip for clip in clips]
    results = json.loads((run / "results.json").read_text())
    assert 100 * sum(right) / len(right) == pytest.approx(results["final"]["t2v"]["R@1"])
    assert results["final"]["queries"] == len(clips)


def test_the_parts_add_up_and_are_the_formula(experiment: Experiment, run: Path) -> None:
    searcher = Searcher(experiment, Run.open(run))
    found = searcher.search("a small red ball moves left", 16)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert one.word_frame is not None and one.word_to_frame is not None and one.frame_to_word is not None
        assert one.score == pytest.approx(one.word_frame + one.global_)
        assert one.word_frame == pytest.approx(one.word_to_frame + one.frame_to_word)
        assert [match.word for match in one.matches] == ["a", "small", "red", "ball", "moves", "left"]
        assert all(1 <= match.frame <= 4 and -1 <= match.cosine <= 1 for match in one.matches)
    over = torch.tensor([one.score for one in found])
    assert float(over.mean()) == pytest.approx(0, abs=1e-4)  # standardised over the run's own database, which was searched whole
    part = next(part for part in searcher.database if found[0].clip.id in part.block.clips)
    text = experiment.model.encode_text(experiment.tokenize(["a small red ball moves left"]), part.path)
    own = word_frame_similarity(part.block.frames, text.words, text.lengths)[:, 0]
    order = [one.word_frame for clip in part.block.clips for one in found if one.clip.id == clip]
    assert torch.corrcoef(torch.stack([own, torch.tensor(order)]))[0, 1] > 0.9999


@pytest.mark.slow
def test_a_score_does_not_depend_on_what_else_is_searched(experiment: Experiment, run: Path, cache: FeatureCache, cli: Cli, videos: Path) -> None:
    few = FeatureCache.open(cli.json(*EXTRACT, "--root", videos, "--cut", "4", "--limit", "8")["path"])

    def scores(added: FeatureCache | None, alone: bool = False) -> dict[tuple[str, str], float]:
        found = Searcher(experiment, Run.open(run), added, alone).search("two blue squares spin", 100)
        return {(one.cache.fingerprint, one.clip.id): one.score for one in found}

    own, with_few, few_alone = scores(None), scores(few), scores(few, alone=True)
    assert len(own) == 16 and len(with_few) == 24 and len(few_alone) == 8
    assert all(with_few[key] == pytest.approx(value, abs=1e-5) for key, value in {**own, **few_alone}.items())
    many = Searcher(experiment, Run.open(run), cache, alone=True).search("two blue squares spin", 100)
    by_clip = {one.clip.id: one.score for one in many}
    assert len(by_clip) == 32 and all(by_clip[clip] == pytest.approx(value, abs=1e-5) for (_, clip), value in few_alone.items())


def test_another_cut_is_refused(experiment: Experiment, run: Path, cli: Cli, videos: Path) -> None:
    other = FeatureCache.open(cli.json(*EXTRACT, "--root", videos, "--cut", "5", "--limit", "4")["path"])
    with pytest.raises(StructAlignError, match=r"made with another cut than the run's \(5, not 4\)"):
        Searcher(experiment, Run.open(run), other)


@pytest.mark.parametrize("method", ["zeroshot", "framefusionmoe"])
def test_methods_that_learn_nothing_or_compare_whole_clips(shared: Cli, cache: FeatureCache, tmp_path: Path, method: str) -> None:
    results = shared.json("train", *QUICK, "--method", method, "--out", tmp_path / "run")
    experiment = make_experiment(cache, Run.open(tmp_path / "run").config, torch.device("cpu"))
    searcher = Searcher(experiment, Run.open(tmp_path / "run"))
    clips = [clip for clip in cache.catalog if clip.split == "test"]
    found = [searcher.search(clip.captions[0], 2)[0] for clip in clips]
    assert 100 * sum(one.clip == clip for one, clip in zip(found, clips, strict=True)) / len(clips) == pytest.approx(results["final"]["t2v"]["R@1"])
    pooled = method == "framefusionmoe"
    assert all((one.word_frame is None) == pooled and bool(one.matches) != pooled for one in found)
    assert found_table(found).count("\n") == len(found) * (1 if pooled else 3) - 1


def test_one_task_and_an_added_cache_of_the_very_same_clips(shared: Cli, cli: Cli, videos: Path, cache: FeatureCache, tmp_path: Path) -> None:
    """The added clips were once compared with the run's own to tell them apart, which tensors do not bear."""
    shared.json("train", *QUICK, "--tasks", "1", "--method", "zeroshot", "--out", tmp_path / "run")
    for file in videos.glob("*.mp4"):
        (tmp_path / file.name).symlink_to(file)
    head, *rows = (videos / "manifest.csv").read_text().splitlines()
    (tmp_path / "manifest.csv").write_text("\n".join([head, *(row for row in rows if ",test," in row)]) + "\n")
    same = FeatureCache.open(cli.json(*EXTRACT, "--root", tmp_path, "--cut", "4")["path"])
    experiment, run = make_experiment(cache, Run.open(tmp_path / "run").config, torch.device("cpu")), Run.open(tmp_path / "run")
    assert run.database(1, "test")[0].clips == tuple(clip.id for clip in same.catalog)
    own = Searcher(experiment, run).search("two blue squares spin", 100)
    added = Searcher(experiment, run, same, alone=True).search("two blue squares spin", 100)
    by_clip = {found.clip: found.score for found in added}
    assert len(own) == len(by_clip) and all(by_clip[found.clip] == pytest.approx(found.score, abs=1e-5) for found in own)


def test_queries_of_any_kind(experiment: Experiment, run: Path) -> None:
    searcher = Searcher(experiment, Run.open(run))
    for query in ("zzzqqq xyzzy", "日本語 ß 🎉", "\x1b[31mred\x07", "word " * 10_000, "!"):
        assert len(searcher.search(query, 3)) == 3
    assert cut_off(experiment, "word " * 10_000) and not cut_off(experiment, "a word")
    for nothing in ("", "   ", "\x07\n"):
        with pytest.raises(StructAlignError, match="the query has no word"):
            searcher.search(nothing, 1)


def test_by_the_command_line(shared: Cli, run: Path, cache: FeatureCache, tmp_path: Path) -> None:
    body = shared.json("search", run, "a red star", "--top", "3", "--thumbnails", tmp_path / "thumbs")
    assert body["query"] == "a red star" and len(body["results"]) == 3
    assert {"clip", "score", "word_frame", "global", "start", "end", "path"} <= set(body["results"][0])
    thumbnails = sorted(file.name for file in (tmp_path / "thumbs").iterdir())
    assert thumbnails == [f"{n:02d}-{row['clip']}.jpg" for n, row in enumerate(body["results"], 1)]
    printed = shared("search", run, "a red star", "--top", "1").stdout
    assert body["results"][0]["clip"] in printed and "words to frames" in printed and "star→" in printed
    elsewhere = shared("search", run, "a red star", "--top", "1", "--thumbnails", tmp_path / "none", "--root", tmp_path)
    assert elsewhere.returncode == 0 and "no thumbnail of" in elsewhere.stderr and "missing" in elsewhere.stderr
    assert "the query has no word" in shared.error("search", run, " ")
    assert "is not a run" in shared.error("search", tmp_path, "x")
    assert shared("search", run, "red", "star").returncode == 2
    newest = shared("search", "a red star", "--top", "1", "--runs", run.parent)
    assert newest.returncode == 0 and newest.stdout == printed
    assert shared("search", run, "x", "--alone").returncode == 2

"""Clips of equal files and times are named: at extract, in results, and once in a search."""

import shutil
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, Cli
from structalign.cache import FeatureCache
from structalign.search.parts import ClipFilter
from structalign.search.searcher import Searcher
from structalign.search.web.responses import make_response
from structalign.train.runs.run import Run

ROWS = """clip_id,path,start,end,category,split,caption
ball,ball.mp4,,,toys,test,a red ball
again,again.mp4,0,99,toys,test,a red ball rolls
twice,ball.mp4,,,more,test,the red ball
part,ball.mp4,0.2,0.6,toys,test,a part of it
other,other.mp4,,,more,test,another clip
toy,toy.mp4,,,toys,train,a toy
more,more.mp4,,,more,train,one more
"""
LINE = (
    "3 of {} show the same as another, of equal files and times (ball = again = twice): "
    "no caption can tell them apart"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Cli:
    """A command line whose root has videos, a copy of one under another name, and their run."""
    lab = Cli(tmp_path_factory.mktemp("copies"))
    films = sorted(videos.glob("*.mp4"))
    for name, film in zip(("ball", "other", "toy", "more"), films, strict=False):
        shutil.copyfile(film, lab.home / f"{name}.mp4")
    shutil.copyfile(films[0], lab.home / "again.mp4")
    (lab.home / "manifest.csv").write_text(ROWS)
    return lab


@pytest.fixture(scope="module")
def extracted(lab: Cli) -> str:
    """What extract says."""
    done = lab(*EXTRACT, "--root", lab.home, "--cut", "4")
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def printed(lab: Cli, extracted: str) -> str:
    """What train prints."""
    line = ("--tasks", "2", "--method", "zeroshot", "--out", lab.home / "run")
    done = lab("train", *line)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_extract_names_them(extracted: str) -> None:
    """A clip that ends after its video ends with it; that is known only once it is decoded."""
    assert "2 of 7 clips show the same as another" in extracted
    assert "(ball = twice)" in extracted


def test_results_name_them(lab: Cli, printed: str) -> None:
    results = lab.json("eval", lab.home / "run")
    assert results["equal_clips"] == 3
    assert LINE.format("5 evaluated clips") in results["warnings"]
    assert LINE.format("5 evaluated clips") in " ".join(printed.split())


def test_a_search_shows_them_once(lab: Cli, printed: str) -> None:
    found = lab.json("search", lab.home / "run", "a red ball")
    shown = {
        one["clip"]: sorted(copy["clip"] for copy in one["copies"]) for one in found["results"]
    }
    (stands,) = {"ball", "again", "twice"} & shown.keys()
    others = sorted({"ball", "again", "twice"} - {stands})
    assert shown == {stands: others, "part": [], "other": [], "toy": [], "more": []}
    assert found["clips"] == 7
    table = lab("search", lab.home / "run", "a red ball").stdout
    assert table.count("the same video: ") == 1 and "again (again.mp4)" in table


def test_as_many_videos_as_were_asked_for(lab: Cli, printed: str) -> None:
    """By words, by a video, and over HTTP; a longer list begins with a shorter one."""
    cache = FeatureCache.open(next((lab.home / "cache" / "caches").iterdir()))
    searcher = Searcher(Run.open(lab.home / "run", cache, device="cpu"))
    every = searcher.search("a red ball", 100)
    for top in range(1, 5):
        results = searcher.search("a red ball", top)
        assert results.to_json()["results"] == every.to_json()["results"][:top]
    video = searcher.searched[0].block.embeddings[0]
    alike = searcher.search_alike(video, "mine.mp4", 4)
    assert len(alike) == 4 and [len(result.copies) for result in alike] == [2, 0, 0, 0]
    copies = make_response(alike, "run").model_dump()["results"][0]["copies"]
    assert {copy["cache"] for copy in copies} == {cache.fingerprint} and len(copies) == 2


def test_an_added_cache_of_the_runs_videos_is_found_by_its_names(lab: Cli, printed: str) -> None:
    """Its clips were left out: a filter by their category or cache found nothing."""
    own = FeatureCache.open(next((lab.home / "cache" / "caches").iterdir()))
    run = Run.open(lab.home / "run", own, device="cpu")
    rows = ("new,toy.mp4,again,test,a toy", "newer,more.mp4,again,train,more")
    table = "\n".join(["clip_id,path,category,split,caption", *rows])
    (lab.home / "new.csv").write_text(table + "\n")
    line = (*EXTRACT, "--splits", lab.home / "new.csv", "--root", lab.home, "--cut", "4")
    line = (*line, "--name", "new", "--cache-root", lab.home / "new")
    added = FeatureCache.open(lab.json(*line)["path"])
    searcher = Searcher(run, added)
    for where in (ClipFilter(category="again"), ClipFilter(cache=added.fingerprint)):
        results = searcher.search("a toy", where=where)
        assert {result.clip.id for result in results} == {"new", "newer"}
        assert results.clips == 2 and not any(result.copies for result in results)
    results = searcher.search("a toy", 100)
    groups = [{result.clip.id, *(clip.id for clip, _ in result.copies)} for result in results]
    assert results.clips == 9 and {"new", "toy"} in groups and {"newer", "more"} in groups
    assert len(groups) == len(Searcher(run).search("a toy", 100)) == 5
    assert searcher.search("a toy", 100, ClipFilter(task=1)).clips + (
        searcher.search("a toy", 100, ClipFilter(task=2)).clips
    ) == len(Searcher(run, own))  # its own cache adds nothing

"""A finished run goes on with other caches, as if all had been one from the start."""

import shutil
import time
from pathlib import Path

import pytest
import torch
from helpers.cli import CHANGES, EXTRACT, TWO_EPOCHS, Cli, without_seconds
from helpers.http_files import served
from helpers.kills import bytes_of
from structalign.backbones.text import TextLayout
from structalign.benchmarks.parts.demo_manifest import write_manifest
from structalign.cache import FeatureCache
from structalign.extract.datasets.demo.files import write_clip
from structalign.extract.datasets.demo.world import WorldClip, build_world
from structalign.train.runs.run import Run

SETTINGS = tuple(part for one in CHANGES.split() for part in ("--set", one))
TEN = 10


def clips_of(
    names: list[str], world: list[WorldClip], train: int = 2, test: int = 2
) -> list[WorldClip]:
    """Some training and test clips of each category."""
    chosen = []
    for name in names:
        for split, count in (("train", train), ("test", test)):
            mine = [c for c in world if c.category == name and c.split == split]
            chosen += mine[:count]
    return chosen


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cli, dict[str, str]]:
    """Categories A to J in one cache, A to F and G to J in two, other clips of A to J in one."""
    folder = tmp_path_factory.mktemp("ten")
    world = build_world(11)
    names = list(dict.fromkeys(clip.category for clip in world))[:TEN]
    chosen = clips_of(names, world)
    others = [clip for clip in clips_of(names, world, 4, 4) if clip not in chosen]
    for clip in (*chosen, *others):
        write_clip(clip, folder)
    cli, found = Cli(tmp_path_factory.mktemp("growing")), {}
    caches = {"all": names, "first": names[:6], "second": names[6:], "others": names}
    for cache, own in caches.items():
        file = folder / f"{cache}.csv"
        clips = others if cache == "others" else chosen
        write_manifest(file, [clip for clip in clips if clip.category in own])
        body = cli.json(*EXTRACT, "--root", folder, "--splits", file, "--cut", "4")
        found[cache] = body["path"]
    return cli, found


def figures(results: dict[str, object]) -> object:
    """What does not say which caches it is from."""
    kept = ("matrix", "stages", "figures", "categories", "final", "zero_shot", "coverage")
    return without_seconds({key: results[key] for key in kept})


@pytest.mark.slow
def test_two_caches_one_after_the_other_equal_one(
    caches: tuple[Cli, dict[str, str]], tmp_path: Path
) -> None:
    cli, found = caches
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    common = ("--method", "structalign", *SETTINGS, *TWO_EPOCHS)
    expected = cli.json("train", "--cache", found["all"], "--tasks", "5", *common, "--out", whole)
    begin = ("train", "--cache", found["first"], "--tasks", "3", *common, "--out", grown)
    begun = cli.json(*begin)
    assert begun["tasks"] == 3
    append = ("append", grown, "--cache", found["second"], "--tasks", "2")
    killed = Path(shutil.copytree(grown, tmp_path / "killed"))
    before = bytes_of(killed, "tasks/*/*")
    for sign in ("unfinished/04-0001", "tasks/04"):
        going = cli.fork("append", killed, *append[2:], "--checkpoint-every", "0")
        while not (killed / sign).exists():
            assert going.poll() is None, going.communicate()[1]
            time.sleep(0.002)
        going.kill()
        going.communicate()
        assert bytes_of(killed, "tasks/*/*").items() >= before.items()
        assert cli.json("eval", killed)["tasks"] >= 3
    results = cli.json(*append)
    assert figures(cli.json("append", killed, *append[2:])) == figures(results)
    assert bytes_of(killed, "tasks/*/*") == bytes_of(grown, "tasks/*/*")
    assert bytes_of(grown, "tasks/*/*") == bytes_of(whole, "tasks/*/*")
    assert figures(results) == figures(expected)
    assert figures(cli.json("eval", grown, "--again")) == figures(expected)
    again = cli(*append)
    assert "is learnt already" in again.stderr
    page = Path(cli.json("report", grown, "--out", tmp_path / "report.html")["file"]).read_text()
    section = page[page.index("<h2>How the stream grew") : page.index("<h2>Both directions")]
    assert section.count("<td>structalign, seed 0</td>") == 2
    assert "<td>1 to 3</td>" in section and "<td>4 to 5</td>" in section
    matrix = results["matrix"]["r1"]
    cost = sum(matrix[3][i] - matrix[4][i] for i in range(3)) / 3
    fourth = ", ".join(results["categories"][3])
    assert f"<td>{fourth}</td><td>{cost:.1f}</td>".replace("-", "−") in section
    assert cli.json(*begin)["tasks"] == 5  # the run that began so, with what came since
    searched = cli.json("search", grown, "a red star", "--top", "99")
    assert searched["clips"] == 40
    assert len({hit["cache"] for hit in searched["results"]}) == 2


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cli, list[str]]:
    """Collections without labels, of five clips, one, and two."""
    cli, found = Cli(tmp_path_factory.mktemp("days")), []
    names = list(dict.fromkeys(clip.category for clip in build_world(11)))
    films = clips_of(names[:2], build_world(11))
    for day, part in (("monday", films[:5]), ("tuesday", films[5:6]), ("wednesday", films[6:])):
        folder = tmp_path_factory.mktemp(day)
        for clip in part:
            write_clip(clip, folder)
        rows = [f"{clip.name},{clip.name}.mp4,{clip.captions[0]}" for clip in part]
        (folder / "manifest.csv").write_text("\n".join(["clip_id,path,caption", *rows]))
        found.append(cli.json(*EXTRACT, "--root", folder, "--cut", "4", "--name", day)["path"])
    return cli, found


@pytest.mark.slow
def test_own_collections_without_labels(days: tuple[Cli, list[str]], tmp_path: Path) -> None:
    """Every clip is learnt and found; a class of one clip trains; the figures say what they are."""
    cli, (monday, tuesday, wednesday) = days
    run = tmp_path / "run"
    cli.json("train", "--cache", monday, "--tasks", "1", *SETTINGS, "--out", run)
    cli.json("append", run, "--cache", tuesday)
    results = cli.json("append", run, "--cache", wednesday)
    assert results["categories"] == [["monday"], ["tuesday"], ["wednesday"]]
    assert results["evaluated_on"] == "clips that were learnt" and results["coverage"] == 1
    assert any("tasks without test clips (1, 2, 3)" in line for line in results["warnings"])
    found = cli.json("search", run, "a red star", "--top", "99")
    assert found["clips"] == 8 == len({hit["clip"] for hit in found["results"]})
    shown = cli("eval", run).stdout
    assert "say nothing about new ones" in shown


@pytest.mark.slow
def test_what_cannot_be_appended(
    days: tuple[Cli, list[str]], caches: tuple[Cli, dict[str, str]], tmp_path: Path
) -> None:
    cli, (monday, tuesday, wednesday) = days
    run = tmp_path / "run"
    begin = ("train", "--cache", monday, "--tasks", "1", *SETTINGS, "--out", run)
    cli.json(*begin)
    assert "has had cache" in cli.error("append", run, "--cache", monday)
    cli.json("append", run, "--cache", tuesday)
    assert "the cache has 1 categories" in cli.error(
        "append", run, "--cache", wednesday, "--tasks", "2"
    )
    other = tmp_path / "other"
    manifest = Path(tmp_path, "root", "manifest.csv")
    manifest.parent.mkdir()
    source = Path(FeatureCache.open(monday).provenance["root"])
    for file in source.iterdir():
        shutil.copy(file, manifest.parent)
    cut = cli.json(*EXTRACT, "--root", manifest.parent, "--cut", "5")["path"]
    assert "made with another cut than the run's (5, not 4)" in cli.error(
        "append", run, "--cache", cut
    )
    ten, found = caches
    begun = ("train", "--cache", found["first"], "--tasks", "3", *SETTINGS, "--out", other)
    ten.json(*begun, "--until", "1")
    assert "has 2 tasks left of cache" in ten.error("append", other, "--cache", found["second"])
    before = bytes_of(run, "tasks/*/*")
    assert cli.json(*begin)["tasks"] == 2 and bytes_of(run, "tasks/*/*") == before


@pytest.mark.slow
def test_earlier_tokens_are_not_needed(caches: tuple[Cli, dict[str, str]], tmp_path: Path) -> None:
    """Only re-encoding old clips would read them: it is left out, and said."""
    cli, found = caches
    run = tmp_path / "run"
    begin = ("train", "--cache", found["first"], "--tasks", "2", *SETTINGS, "--out")
    append = ("--cache", found["second"], "--tasks", "1")
    cli.json(*begin, run)
    elsewhere = Path(shutil.copytree(cli.home / "cache", tmp_path / "cache"))
    whole = cli.json("append", Path(shutil.copytree(run, tmp_path / "whole")), *append)
    tokens = elsewhere / "caches" / Path(found["first"]).name / "tokens"
    for folder in (tokens.parent, tokens):
        folder.chmod(0o755)
    shutil.rmtree(tokens)
    results = cli.json("append", run, *append, "--cache-root", elsewhere)
    assert bytes_of(run, "tasks/*/*") == bytes_of(tmp_path / "whole", "tasks/*/*")
    assert results["matrix"] == whole["matrix"] and results["final"]["BWF"] == whole["final"]["BWF"]
    assert whole["final"]["BWF_reencoded"] is not None is results["final"]["BWF_reencoded"]
    assert any("tasks 1, 2 were not encoded again" in line for line in results["warnings"])
    assert "re-encoded not measured" in cli("eval", run, "--cache-root", elsewhere).stdout
    cli.json("report", run, "--out", tmp_path / "report.html", "--cache-root", elsewhere)


@pytest.mark.slow
def test_evaluation_now_and_then(caches: tuple[Cli, dict[str, str]], tmp_path: Path) -> None:
    """Left-out stages have their own task's figure, so later forgetting is the same."""
    cli, found = caches
    begin = ("train", "--cache", found["all"], "--tasks", "5", *SETTINGS, "--out")
    always, rarely = tmp_path / "always", tmp_path / "rarely"
    whole = cli.json(*begin, always)
    some = cli.json(*begin, rarely, "--set", "eval_every=2", "--until", "3")
    assert [stage["t2v"] is None for stage in some["stages"]] == [False, True, False, False]
    some = cli.json(*begin, rarely, "--set", "eval_every=2")
    assert bytes_of(always, "tasks/*/*") == bytes_of(rarely, "tasks/*/*")
    assert [stage["t2v"] is None for stage in some["stages"]] == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    for stage, (row, full) in enumerate(
        zip(some["matrix"]["r1"], whole["matrix"]["r1"], strict=True)
    ):
        assert row == (full if stage != 1 else [full[0], *[None] * 4])
    fifth = without_seconds(some["final"])
    assert fifth == without_seconds(whole["final"])
    assert figures(cli.json("eval", rarely, "--again")) == figures(some)
    assert "\n        1 " not in cli("eval", rarely).stdout.split("R@1 within")[0]
    page = cli.json("report", rarely, "--out", tmp_path / "report.html")
    assert Path(page["file"]).stat().st_size > 10_000


@pytest.mark.slow
def test_a_category_that_comes_again_is_more_of_the_same_class(
    caches: tuple[Cli, dict[str, str]], tmp_path: Path
) -> None:
    """Beyond a simplex of known classes the new ones get spread directions, and it is said."""
    cli, found = caches
    run = tmp_path / "run"
    known = ("--set", "etf=simplex", "--set", "etf_classes=6")
    begin = ("train", "--cache", found["first"], "--tasks", "1", *SETTINGS, *known, "--out", run)
    first = cli.json(*begin)
    results = cli.json("append", run, "--cache", found["others"])
    six, ten = (set(names) for names in results["categories"])
    assert six < ten and len(ten) == 10
    stream = Run.open(run, cache_root=cli.home / "cache", device="cpu").stream
    assert len(stream.class_number) == 10
    again, before = (stream.task(n, ids_of, TextLayout().columns) for n in (2, 1))
    assert set(before.clip_labels.tolist()) < set(again.clip_labels.tolist()) == set(range(10))
    assert not any("simplex" in line for line in first["warnings"])
    assert any("4 of 10 classes came after the simplex of 6" in one for one in results["warnings"])
    hits = cli.json("search", run, "a red star", "--top", "99")
    assert hits["clips"] == 24 + 40


def ids_of(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[len(text), 3] for text in texts])


@pytest.mark.slow
def test_both_caches_on_a_server(caches: tuple[Cli, dict[str, str]], tmp_path: Path) -> None:
    """Learnt from, evaluated and searched where no cache of the run lies on the disk."""
    cli, found = caches
    common = ("--method", "finetune", *SETTINGS)
    runs = {}
    with served(Path(found["first"]).parent) as address:
        for where, first, second in (
            ("here", found["first"], found["second"]),
            ("there", *(f"{address}/{Path(found[name]).name}" for name in ("first", "second"))),
        ):
            run = tmp_path / where
            cli.json("train", "--cache", first, "--tasks", "2", *common, "--out", run)
            results = cli.json("append", run, "--cache", second, "--tasks", "1")
            shown = cli.json("search", run, "a red circle")
            runs[where] = (figures(results), bytes_of(run, "tasks/*/*"), shown["results"])
    assert runs["there"] == runs["here"]

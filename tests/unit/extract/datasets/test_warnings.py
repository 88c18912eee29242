"""Warnings about a dataset, and the refusal of overlapping splits."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers import corpus
from helpers.cli import Cli
from structalign.cache.catalog import Catalog, Clip, shared_captions
from structalign.core.errors import StructAlignError
from structalign.extract.datasets.warnings import dataset_warnings, refuse_overlap

TRAIN = Clip("a", "a.mp4", "cats", "train", ("a cat",))
TEST = Clip("b", "b.mp4", "cats", "test", ("a dog", "a cat sleeps"))


def catalog(*clips: Clip) -> Catalog:
    return Catalog("mine", tuple(dict.fromkeys(c.category for c in clips)), clips)


def test_a_copy_in_train_and_test_is_refused() -> None:
    refuse_overlap(catalog(TRAIN, TEST), {"a.mp4": "1", "b.mp4": "2"})
    with pytest.raises(StructAlignError, match=r"'b' of b.mp4 .* 'a' of a.mp4"):
        refuse_overlap(catalog(TRAIN, TEST), {"a.mp4": "1", "b.mp4": "1"})


def test_parts_of_one_video_may_not_overlap() -> None:
    sources = {"a.mp4": "1"}
    first = replace(TRAIN, start=0.0, end=2.0)
    refuse_overlap(catalog(first, replace(TEST, path="a.mp4", start=2.0)), sources)
    with pytest.raises(StructAlignError, match="--allow-overlap"):
        refuse_overlap(catalog(first, replace(TEST, path="a.mp4", start=1.9)), sources)


def test_files_that_are_missing_are_not_the_same() -> None:
    refuse_overlap(catalog(TRAIN, TEST), {"a.mp4": "missing", "b.mp4": "missing"})


def test_captions_of_several_clips_bound_recall() -> None:
    pairs = [replace(TEST, id=f"c{n}", captions=(f"caption {n // 2}",)) for n in range(16)]
    warning = "16 of 16 test captions describe more than one clip: R@1 cannot exceed 50"
    assert shared_captions(pairs) == warning
    assert shared_captions([TEST, replace(TEST, id="d", captions=("a bird",))]) is None
    assert shared_captions([replace(TEST, captions=("same", "same"))]) is None


def test_categories_without_a_side_are_reported() -> None:
    lone = replace(TRAIN, id="l", category="birds")
    assert list(dataset_warnings(catalog(TRAIN, TEST))) == []
    assert list(dataset_warnings(catalog(TRAIN, TEST, lone))) == [
        "1 of 2 categories have no test clip: birds; train needs both"
    ]


HEADER = "clip_id,path,start,end,category,split,caption\n"


@pytest.mark.slow
def test_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    """Extract warns, refuses or allows; the folder names the cache; one bad clip stops nothing."""
    folder = tmp_path / "my films"
    folder.mkdir()
    for n in range(4):
        corpus.write(folder / f"{n}.mp4", frames=10 + n)
    rows = [f"c{n},{n}.mp4,,,cats,{'train' if n < 2 else 'test'},a film" for n in range(4)]
    (folder / "manifest.csv").write_text(HEADER + "\n".join(rows) + "\n")
    line = ("extract", "--dataset", "manifest", "--backbone", "demo", "--engine", "inline")
    done = cli(*line, "--root", folder)
    assert "2 of 2 test captions describe more than one clip: R@1 cannot exceed 50" in done.stderr
    assert [entry["dataset"] for entry in cli.json("cache", "ls")["caches"]] == ["my-films"]
    info = cli.json("cache", "info", "my-films")
    assert (info["train_clips"], info["test_clips"], info["captions"]) == (2, 2, 4)
    assert info["categories"] == ["cats"]
    warning = "2 of 2 test captions describe more than one clip: R@1 cannot exceed 50"
    trained = ("train", "--cache", "my-films", "--tasks", "1", "--method", "zeroshot")
    assert cli.json(*trained)["warnings"] == [warning] and warning in cli("eval").stdout
    (folder / "3.mp4").write_bytes((folder / "0.mp4").read_bytes())
    assert "--allow-overlap" in cli.error(*line, "--root", folder)
    assert cli(*line, "--root", folder, "--allow-overlap", "--name", "leaky").returncode == 0
    (folder / "3.mp4").unlink()
    assert cli(*line, "--root", folder).returncode == 3  # one of four, above 1%
    assert cli(*line, "--root", folder, "--max-bad", "0", "--limit", "4", "--seed", "1").returncode
    assert "is a folder but no cache" in cli.error("train", "--tasks", "1", "--cache", folder)

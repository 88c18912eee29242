"""Split files: only plain data comes out of them, and nothing in them runs."""

import os
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest
from structalign.cache import StructAlignError
from structalign.extract.datasets.file_index import FileIndex
from structalign.extract.datasets.splits import read_benchmark_split, read_split


def write(path: Path, body: Any) -> Path:
    path.write_bytes(pickle.dumps(body))
    return path


def body(tasks: int) -> dict[str, Any]:
    """Four categories in ``tasks`` tasks."""
    size = 4 // tasks
    return {
        side: {
            t + 1: defaultdict(
                list,
                {c: [f"{side}{c}{i}" for i in range(2)] for c in range(t * size, (t + 1) * size)},
            )
            for t in range(tasks)
        }
        for side in ("train", "val")
    }


def test_reads(tmp_path: Path) -> None:
    write(tmp_path / "MINE_10_dataset.pkl", body(2))
    write(tmp_path / "mine_20_dataset.pkl", body(4))
    split = read_benchmark_split(FileIndex(tmp_path), "MINE")
    assert split.categories == ("0", "1", "2", "3") and split.tasks == 4
    assert split.train["2"] == ["train20", "train21"] and split.test["3"] == ["val30", "val31"]


class Evil:
    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.where),)


def test_code_is_refused_by_name_and_does_not_run(tmp_path: Path) -> None:
    path = write(tmp_path / "evil.pkl", {"train": Evil(tmp_path / "ran"), "val": {}})
    with pytest.raises(StructAlignError, match=r"refused: it asks for posix.mkdir"):
        read_split(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": OrderedDict(), "val": {}}, "collections.OrderedDict"),
        ({"train": {1: {0: [1.5]}}, "val": {1: {0: []}}}, "it holds a float"),
        ({"train": {1: {0: [None]}}, "val": {1: {0: []}}}, "it holds a NoneType"),
        ({"train": {1: {0: [True]}}, "val": {1: {0: []}}}, "it holds a bool"),
        ({"train": {1: {0: ["a"]}}}, "does not hold train and val"),
        (
            {"train": {1: {0: ["a"]}}, "val": {1: {1: ["b"]}}},
            "other categories in train than in val",
        ),
        ([1, 2], "does not hold train and val"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(StructAlignError, match=message):
        read_split(write(tmp_path / "a.pkl", content))


def test_not_a_pickle(tmp_path: Path) -> None:
    for number, junk in enumerate((b"", b"hello", b"\x80\x04", pickle.dumps(body(2))[:-20])):
        (tmp_path / f"{number}.pkl").write_bytes(junk)
        with pytest.raises(StructAlignError, match="split file"):
            read_split(tmp_path / f"{number}.pkl")


def test_files_that_contradict_each_other(tmp_path: Path) -> None:
    other = body(4)
    other["train"][1][0][0] = "somebody else"
    write(tmp_path / "MINE_10_dataset.pkl", body(2))
    write(tmp_path / "MINE_20_dataset.pkl", other)
    with pytest.raises(StructAlignError, match="differ in categories"):
        read_benchmark_split(FileIndex(tmp_path), "MINE")

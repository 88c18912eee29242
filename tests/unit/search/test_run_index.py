"""The index of a large run: as good as the exact search, saved, checked, and built again."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from structalign.cache import FeatureCache
from structalign.core.errors import StructAlignError
from structalign.search.parts import ClipFilter
from structalign.search.searcher import Searcher, prepare_search
from structalign.train.runs.run import Run

pytest.importorskip("faiss")
QUERY = "a large red circle"


@pytest.fixture
def copied(trained: Path, cache: FeatureCache, tmp_path: Path) -> Run:
    """The run in a folder of this test's own, without an index."""
    path = Path(shutil.copytree(trained, tmp_path / "run"))
    assert not (path / "index").exists()
    return Run.open(path, cache, device="cpu")


def test_an_indexed_search_finds_what_the_exact_one_finds(copied: Run) -> None:
    exact, indexed = Searcher(copied), Searcher(copied, exact=0)
    assert exact.index is None and indexed.index is not None
    for where in (None, ClipFilter(task=2), ClipFilter(category="none")):
        expected, results = exact.search(QUERY, 10, where), indexed.search(QUERY, 10, where)
        assert [result.clip for result in results] == [result.clip for result in expected]
        assert results.clips == expected.clips
        assert [result.score for result in results] == pytest.approx(
            [result.score for result in expected], abs=1e-4
        )
    block = exact.evaluated[0].block
    expected, results = (s.search_alike(block.embeddings[3], "x", 3) for s in (exact, indexed))
    assert [result.clip for result in results] == [result.clip for result in expected]
    assert results[0].clip.id == block.clips[3]


def test_without_faiss_every_clip_is_compared_and_that_is_said(
    copied: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    without = Searcher(copied, exact=0)
    assert without.index is None
    assert "32 clips are compared one by one; pip install" in capsys.readouterr().err
    exact, results = Searcher(copied).search(QUERY, 10), without.search(QUERY, 10)
    assert [(result.clip, result.score) for result in results] == [
        (result.clip, result.score) for result in exact
    ]


def test_it_is_saved_checked_and_built_again_when_missing_or_outdated(copied: Run) -> None:
    folder = copied.path / "index"

    def built() -> dict[str, int]:
        Searcher(copied, exact=0)
        return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}

    first = built()
    files = {f"0{task}-{kind}.faiss" for task in (1, 2) for kind in ("evaluated", "train")}
    assert set(first) == {"index.json", *files}
    assert json.loads((folder / "index.json").read_text())["recall@10"] >= 0.99
    assert built() == first
    (folder / "01-train.faiss").unlink()
    gallery = copied.path / "tasks" / "02" / "gallery-test.safetensors"
    shutil.copy(gallery, copied.path / "copy")
    (copied.path / "copy").rename(gallery)
    again = built()
    assert {name for name in first if again[name] != first[name]} == {
        "01-train.faiss", "02-evaluated.faiss", "index.json"
    }  # fmt: skip
    (folder / "02-train.faiss").write_bytes(b"no index")
    third = built()
    assert {name for name in first if third[name] != again[name]} == {
        "02-train.faiss", "index.json"
    }  # fmt: skip


@pytest.mark.parametrize("exact", [0, 1000])
def test_a_gallery_truncated_while_it_is_searched_is_an_error_or_a_copy(
    exact: int, copied: Run
) -> None:
    """A map of the file ended the process with SIGBUS. Files are read; small ones are copied."""
    searcher = Searcher(copied, exact=exact)
    expected = searcher.search(QUERY, 10)
    for file in copied.path.glob("tasks/*/gallery-*.safetensors"):
        with file.open("r+b") as gallery:
            gallery.truncate(100)
    if exact:
        assert searcher.search(QUERY, 10) == expected
    else:
        with pytest.raises(StructAlignError, match="has changed since it was opened"):
            searcher.search(QUERY, 10)


def test_a_large_run_gets_its_index_when_it_ends(copied: Run) -> None:
    messages: list[str] = []
    prepare_search(copied, messages.append)
    assert not (copied.path / "index").exists(), "32 clips need none"
    prepare_search(copied, messages.append, exact=20)
    assert (copied.path / "index" / "index.json").is_file() and messages == []

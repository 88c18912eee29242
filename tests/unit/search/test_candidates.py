"""The index of large galleries: as good as the exact search, kept, checked, and made again."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from helpers.cli import QUICK, Cli
from structalign.cache.reader import FeatureCache
from structalign.core.errors import StructAlignError
from structalign.core.tensors import load_tensors, map_tensor, save_tensors
from structalign.search.candidates import (
    COUNTS,
    FLAT,
    BlockIndex,
    Shortlist,
    StoredBlock,
    whole_clips,
)
from structalign.search.results import Where
from structalign.search.searcher import Searcher, prepare_search
from structalign.train.gallery import Block
from structalign.train.runs.run import Run

faiss = pytest.importorskip("faiss")


def clustered(clips: int, seed: int = 0, dim: int = 32) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(50, dim, generator=rng)
    chosen = torch.randint(50, (clips,), generator=rng)
    noise = torch.randn(clips, 4, dim, generator=rng)
    return torch.nn.functional.normalize(centres[chosen][:, None] + 0.5 * noise, dim=-1)


@pytest.mark.parametrize("clips", [300, FLAT + 1000])
def test_candidates_hold_the_nearest_clips(clips: int) -> None:
    block = Block(1, tuple(map(str, range(clips))), clustered(clips))
    index, whole = BlockIndex.build(block), whole_clips(block.embeddings)
    for query in whole_clips(clustered(20, 1)):
        wanted = (whole @ query).topk(10).indices
        scores, rows = index.candidates(query, 200, 1.0)
        assert torch.isin(wanted, rows).all() and len(rows) == 200
        assert scores == pytest.approx((whole @ query)[rows], abs=0.02)
        allowed = torch.arange(clips) % 3 == 0
        _, some = index.candidates(query, 50, 1.0, allowed)
        assert (some % 3 == 0).all() and len(some) == 50


def test_the_best_of_all_blocks_are_kept(tmp_path: Path) -> None:
    blocks = [Block(n, tuple(map(str, range(1500))), clustered(1500, n)) for n in (1, 2, 3)]
    shortlist = Shortlist.open(tmp_path / "index", [StoredBlock(block) for block in blocks])
    shortlist.share = 1.0
    query = whole_clips(clustered(1, 5))[0]
    rows = shortlist.rows([query] * 3, None)
    assert sum(map(len, rows)) == COUNTS[-1]
    scores = torch.cat([whole_clips(block.embeddings) @ query for block in blocks])
    kept = torch.cat([own + 1500 * n for n, own in enumerate(rows)])
    assert torch.isin(scores.topk(100).indices, kept).all()
    assert not (tmp_path / "index").exists(), "blocks without a file are not kept"


@pytest.fixture(scope="module")
def run(shared: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("indexed") / "run"
    shared.json("train", *QUICK, "--out", path)
    return path


def opened(shared: Cli, path: Path) -> Run:
    cache = FeatureCache.open(shared.json("cache", "info")["path"])
    return Run.open(path, cache, device="cpu")


def test_an_indexed_search_finds_what_the_exact_one_finds(shared: Cli, run: Path) -> None:
    exact, indexed = Searcher(opened(shared, run)), Searcher(opened(shared, run), exact=0)
    assert exact.shortlist is None and indexed.shortlist is not None
    for where in (None, Where(task=2), Where(category="none")):
        one = exact.search("a large red circle", 10, where)
        two = indexed.search("a large red circle", 10, where)
        assert [hit.clip.id for hit in one] == [hit.clip.id for hit in two]
        assert one.clips == two.clips
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in two], abs=1e-4)
    video = exact.gallery[0].block.embeddings[3]
    alike = [searcher.search_alike(video, "x", 3) for searcher in (exact, indexed)]
    assert [hit.clip.id for hit in alike[0]] == [hit.clip.id for hit in alike[1]]
    assert alike[0][0].clip.id == exact.gallery[0].block.clips[3]


def test_without_faiss_every_clip_is_compared_and_that_is_said(
    shared: Cli, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = Searcher(opened(shared, run)).search("a large red circle", 10)
    monkeypatch.setitem(sys.modules, "faiss", None)
    without = Searcher(opened(shared, run), exact=0)
    assert without.shortlist is None
    assert "clips are compared one by one; pip install" in capsys.readouterr().err
    found = without.search("a large red circle", 10)
    assert [(hit.clip.id, hit.score) for hit in found] == [
        (hit.clip.id, hit.score) for hit in exact
    ]


def test_it_is_kept_checked_and_made_again_when_missing_or_changed(shared: Cli, run: Path) -> None:
    Searcher(opened(shared, run), exact=0)
    folder = run / "index"
    kept = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert set(kept) == {"index.json", *(f"0{t}-{k}.faiss" for t in (1, 2)
                                         for k in ("evaluated", "train"))}  # fmt: skip
    assert json.loads((folder / "index.json").read_text())["recall@10"] >= 0.99
    Searcher(opened(shared, run), exact=0)
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == kept
    (folder / "01-train.faiss").unlink()
    gallery = run / "tasks" / "02" / "gallery-test.safetensors"
    save_tensors(gallery, load_tensors(gallery))
    Searcher(opened(shared, run), exact=0)
    made = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert {name for name in kept if made[name] != kept[name]} == {
        "01-train.faiss", "02-evaluated.faiss", "index.json"
    }  # fmt: skip
    (folder / "02-train.faiss").write_bytes(b"no index")
    with pytest.raises(StructAlignError, match="is damaged; remove it"):
        Searcher(opened(shared, run), exact=0)
    (folder / "02-train.faiss").unlink()


def test_a_large_run_gets_its_index_when_it_ends(shared: Cli, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("index"))
    told: list[str] = []
    prepare_search(opened(shared, copy), told.append)
    assert not (copy / "index").exists(), "32 clips need none"
    prepare_search(opened(shared, copy), told.append, exact=20)
    assert (copy / "index" / "index.json").is_file() and told == []


def test_mapped_tensors_are_the_loaded_ones(tmp_path: Path) -> None:
    values = {"a": torch.randn(3, 4, 5), "b": torch.arange(4)}
    save_tensors(tmp_path / "x.safetensors", values)
    block = Block(1, ("p", "q", "r"), *map_tensor(tmp_path / "x.safetensors", "a"))
    assert torch.equal(block.embeddings, values["a"])
    block.embeddings[0] = 0
    assert torch.equal(map_tensor(tmp_path / "x.safetensors", "a")[0], values["a"])
    block.release()
    assert torch.equal(block.embeddings, values["a"]), "read again"
    for name in ("b", "c"):
        with pytest.raises(StructAlignError, match="missing or damaged"):
            map_tensor(tmp_path / "x.safetensors", name)
    file = tmp_path / "x.safetensors"
    for body in (b"\xff" * 20, (1 << 40).to_bytes(8, "little") + b"{}", b"", b"[" * 5000):
        file.write_bytes(body)
        with pytest.raises(StructAlignError, match="missing or damaged"):
            map_tensor(file, "a")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(StructAlignError, match="not a file"):
        map_tensor(file, "a")

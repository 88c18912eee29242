"""Ray and the inline engine run the same functions and give the same bytes.

A bad clip leaves its neighbours alone.
"""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import INLINE, RAY, Cli, digest
from structalign.cache import FeatureCache, StructAlignError
from structalign.cache.spec import CacheSpec
from structalign.extract import extract
from structalign.extract.datasets.dataset import Inputs
from structalign.extract.datasets.manifest import Manifest
from structalign.extract.engines import auto
from structalign.extract.engines.auto import RAY_START, seconds_saved
from structalign.extract.engines.ray_data import RayWorker, WorkerPool, worker_pool
from structalign.extract.worker import Work, WorkerConfig

pytestmark = pytest.mark.xdist_group("ray")


@pytest.mark.slow
def test_ray_gives_the_same_bytes(shared: Cli, cli: Cli, videos: Path) -> None:
    first = shared.json(*INLINE, "--root", videos, "--cut", "4")
    assert first["reused"]
    # nothing is left in a home folder, and none is needed
    cli.environment["HOME"] = "/proc/nowhere"
    # Ray leaves them in the environment of a process that used it
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        cli.environment.pop(name, None)
    done = cli(*RAY, "--root", videos, "--cut", "4", "--workers", "2", "--json")
    assert done.returncode == 0 and done.stderr == ""  # nothing of what Ray has to say
    second = json.loads(done.stdout)
    assert set(second) >= {
        "fingerprint",
        "path",
        "clips",
        "ok",
        "quarantined",
        "seconds",
        "clips_per_second",
        "reused",
    }
    assert not second["reused"] and second["fingerprint"] == first["fingerprint"]
    assert digest(Path(first["path"])) == digest(Path(second["path"]))


@pytest.mark.slow
def test_continuing_through_ray_gives_the_same_bytes(
    shared: Cli, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would after the first clips, were the rest of a size that pays."""
    first = shared.json(*INLINE, "--root", videos, "--cut", "4")
    monkeypatch.setattr(auto, "RAY_START", -1e9)
    monkeypatch.setattr(auto, "MEASURED", 0.0)
    notes: list[str] = []
    cache = extract(
        "manifest", name="manifest", root=videos, backbone="demo", frames=4, views=2, cut=4,
        cache_root=tmp_path, progress=lambda *_: None, note=notes.append,
    )  # fmt: skip
    assert notes[0] == "extracting in this process as long as that is faster than starting Ray"
    assert notes[1].startswith("continuing through Ray, ") and "24 clips that are left" in notes[1]
    assert cache.fingerprint == first["fingerprint"] and not cache.quarantine
    assert digest(cache.path) == digest(Path(first["path"]))


def test_where_ray_cannot_start_this_process_goes_on(
    shared: Cli, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters give each job a TMPDIR of its own, often too long for the paths of Ray's sockets."""
    first = shared.json(*INLINE, "--root", videos, "--cut", "4")
    monkeypatch.setattr(auto, "RAY_START", -1e9)
    monkeypatch.setattr(auto, "MEASURED", 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("a-long-name" * 10)))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    notes: list[str] = []
    cache = extract(
        "manifest", name="manifest", root=videos, backbone="demo", frames=4, views=2, cut=4,
        cache_root=tmp_path, progress=lambda *_: None, note=notes.append,
    )  # fmt: skip
    assert notes[1].startswith("continuing through Ray, ")
    assert notes[2].startswith("cannot start or reach Ray at 'local': ")
    assert notes[2].endswith("a shorter path; continuing in this process") and len(notes) == 3
    assert cache.fingerprint == first["fingerprint"]
    assert digest(cache.path) == digest(Path(first["path"]))


@pytest.mark.parametrize(
    ("work", "left", "workers", "expected"),
    [
        (Work(10, 0.5, 1.0), 10**6, 64, 0),  # too little was measured
        (Work(10, 10.0, 10.0), 1000, 2, -RAY_START),  # both cores are busy here too
        (Work(10, 0.0, 10.0), 1000, 2, 500 - RAY_START),
        (Work(10, 10.0, 1.0), 1000, 11, 900 - RAY_START),
        (Work(10, 10.0, 1.0), 5, 11, 4.5 - RAY_START),
    ],
)
def test_what_ray_would_save(work: Work, left: int, workers: int, expected: float) -> None:
    assert seconds_saved(work, left, workers) == pytest.approx(expected)


def test_small_work_stays_in_this_process(cli: Cli, videos: Path) -> None:
    line = [part for part in INLINE if part not in ("--engine", "inline")]
    done = cli(*line, "--root", videos, "--cut", "4")
    assert done.returncode == 0
    assert "extracting in this process" in done.stderr and "through Ray" not in done.stderr


@pytest.mark.slow
def test_an_error_in_a_ray_worker_is_one_line_with_what_our_code_said(
    cli: Cli, videos: Path, tmp_path: Path
) -> None:
    """Ray's advice and log lines were shown instead."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'structalign.extract.video.decoder_process' in sys.orig_argv: "
        "os.write(2, b'no libavcodec here'); os._exit(1)\n"
    )
    cli.environment["PYTHONPATH"] = str(tmp_path)
    done = cli(*RAY, "--root", videos, "--cut", "4", "--json")
    message = (
        "error: a Ray worker failed: the decoder does not start (3 tries): no libavcodec here; "
        "finished batches are kept, run extract again\n"
    )
    assert (done.returncode, done.stderr) == (1, message)


def test_missing_videos_are_told_before_the_first_is_decoded(
    cli: Cli, videos: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(videos, tmp_path / "videos"))
    names = [clip.path for clip in Manifest().read(Inputs(tmp_path, root)).catalog]
    for name in names[3:8]:
        (root / name).unlink()
    done = cli(*INLINE, "--root", root, "--cut", "4")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "extract: 0 of" not in done.stderr
    assert line == (
        f"error: the videos of 5 of 32 clips are not under {root} ({', '.join(names[3:6])}, ...), "
        "more than --max-bad 0.01 allows: put them there, or leave these clips out with "
        "--max-bad 0.157"
    )
    assert cli.json(*INLINE, "--root", root, "--cut", "4", "--max-bad", "0.157", code=3)["ok"] == 27
    shutil.copyfile(videos / names[3], root / names[3])
    for name in names[4:8]:
        shutil.copyfile(videos / name, root / name)
    (root / names[5]).unlink()
    done = cli(*INLINE, "--root", root, "--cut", "4")
    assert done.returncode == 3
    said = f"the videos of 1 of 32 clips are not under {root} ({names[5]}); these clips go to "
    assert 0 <= done.stderr.index(said) < done.stderr.index("extract: 0 of 32")
    for name in names:
        (root / name).unlink(missing_ok=True)
    line = cli.error(*INLINE, "--root", root, "--cut", "4", "--max-bad", "1")
    assert line.endswith("name the folder of the videos with --root")


def test_bad_clips_are_quarantined_and_the_rest_goes_on(
    shared: Cli, cli: Cli, videos: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(videos, tmp_path / "videos"))
    names = sorted(file.name for file in root.glob("*.mp4"))
    (root / names[0]).unlink()
    (root / names[5]).write_bytes(b"")
    (root / names[9]).write_text("hello")
    refused = cli.error(*INLINE, "--root", root, "--cut", "4")
    assert (
        "3 of 32 clips are bad" in refused
        and "more than --max-bad 0.01 allows, so nothing is published" in refused
    )
    assert not list((cli.home / "cache" / "caches").glob("*"))
    report = cli.json(*INLINE, "--root", root, "--cut", "4", "--max-bad", "0.2", code=3)
    assert report["clips"] == 32 and report["ok"] == 29
    assert all(
        set(entry) == {"clip", "reason", "path", "message"} for entry in report["quarantined"]
    )
    assert {entry["clip"] + ".mp4": entry["reason"] for entry in report["quarantined"]} == {
        names[0]: "missing",
        names[5]: "empty",
        names[9]: "unreadable",
    }
    good, damaged = (
        FeatureCache.open(shared.json(*INLINE, "--root", videos, "--cut", "4")["path"]),
        FeatureCache.open(report["path"]),
    )
    for clip in damaged.available(list(damaged.catalog)):
        assert np.array_equal(good.tokens([clip.id]), damaged.tokens([clip.id]))


@pytest.mark.slow
def test_an_interrupted_extraction_goes_on(shared: Cli, cli: Cli, videos: Path) -> None:
    """Batches with a record are not extracted again.

    Killed after the first of two, the second run leaves the first one's chunks alone.
    """
    whole = shared.json(*INLINE, "--root", videos, "--cut", "4")
    writer = cli.home / "cache" / "staging" / whole["fingerprint"][:32]
    process = cli.fork(*INLINE, "--root", videos, "--cut", "4")
    while not list(writer.glob("receipts/0*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not list((cli.home / "cache" / "caches").glob("*"))
    done = {
        row["clip"]
        for file in writer.glob("receipts/0*.json")
        for row in json.loads(file.read_text())
    }
    assert 0 < len(done) < 32
    kept = (writer / "tokens" / "c.0.0.0.0.0").stat().st_mtime_ns
    again = cli.json(*INLINE, "--root", videos, "--cut", "4")
    assert not again["reused"] and digest(Path(again["path"])) == digest(Path(whole["path"]))
    assert (Path(again["path"]) / "tokens" / "c.0.0.0.0.0").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("device", "workers", "resources", "expected"),
    [
        ("cpu", None, {"CPU": 8}, WorkerPool(8, 0)),
        ("cpu", 3, {"CPU": 8, "GPU": 1}, WorkerPool(3, 0)),
        ("cpu", None, {"CPU": 300}, WorkerPool(100, 0)),  # at most one per batch
        ("cuda", None, {"CPU": 16, "GPU": 1}, WorkerPool(16, 0.0625)),
        ("cuda", None, {"CPU": 64, "GPU": 1}, WorkerPool(16, 0.0625)),
        ("cuda", None, {"CPU": 64, "GPU": 8}, WorkerPool(64, 0.125)),
        # seven of them fit, in the parts that Ray counts
        ("cuda", 7, {"CPU": 64, "GPU": 1}, WorkerPool(7, 0.1428)),
        ("cuda", 2, {"CPU": 64, "GPU": 8}, WorkerPool(2, 1)),
    ],
)
def test_workers_take_every_core_and_share_the_gpus(
    device: str, workers: int | None, resources: dict[str, float], expected: WorkerPool
) -> None:
    assert worker_pool(device, workers, 100, resources) == expected


def test_a_node_that_does_not_share_the_cache_root_says_so(tmp_path: Path) -> None:
    """Its tokens would lie on its own disk, where nobody finds them."""
    spec = CacheSpec("", "", "", "", "", 4, 4, 1, 0, 1.0, False, {}, "")
    config = WorkerConfig(tmp_path / "elsewhere", tmp_path, spec, "cpu", 60)
    with pytest.raises(StructAlignError, match="all Ray nodes must share the cache root"):
        RayWorker(config, "")


def test_a_cluster_without_a_gpu_is_reported() -> None:
    with pytest.raises(StructAlignError, match="no node of this Ray cluster has a GPU"):
        worker_pool("cuda", None, 100, {"CPU": 8})

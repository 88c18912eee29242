"""A cache root that several people use.

Reuse, changed files, concurrent extractors, permissions, the cache commands.
"""

import json
import os
import shutil
import stat
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.chunks import drop, flip
from helpers.cli import EXTRACT, Cli
from structalign.cache import CacheRoot, FeatureCache
from structalign.cache.verify import verify
from structalign.core.permissions import make_writable

ARGS = (*EXTRACT, "--cut", "4")


def test_asking_again_reads_nothing_and_imports_no_model(shared: Cli, videos: Path) -> None:
    assert shared.json(*ARGS, "--root", videos)["reused"]
    shared.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    try:
        done = shared(*ARGS, "--root", videos, "--json")
    finally:
        del shared.environment["PYTHONPROFILEIMPORTTIME"]
    imported = {
        line.rsplit("|", 1)[1].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert json.loads(done.stdout)["reused"]
    assert "structalign.cache.reader" in imported and not imported & {
        "torch",
        "open_clip",
        "ray",
        "decord",
        "structalign.extract.worker",
    }


@pytest.mark.slow
def test_changed_files_make_another_cache_and_are_named(
    cli: Cli, videos: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(videos, tmp_path / "videos"))
    first = cli.json(*ARGS, "--root", root)
    names = sorted(file.name for file in root.glob("*.mp4"))
    shutil.copyfile(root / names[3], root / names[4])
    done = cli(*ARGS, "--root", root)
    assert done.returncode == 0, done.stderr
    assert (
        f"since cache {first['fingerprint'][:12]} was made: 1 file changed ({names[4]})"
        in done.stderr
    )
    manifest = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(manifest.rstrip() + "x\n")
    assert "other captions, categories or splits" in cli(*ARGS, "--root", root).stderr
    assert len(cli.json("cache", "ls")["caches"]) == 3


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_extractors_at_once_make_one_cache_and_none_fails(
    cli: Cli, shared: Cli, videos: Path, count: int
) -> None:
    running = [cli.fork(*ARGS, "--root", videos, "--json") for _ in range(count)]
    bodies = []
    for process in running:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        bodies.append(json.loads(out))
    assert len({body["fingerprint"] for body in bodies}) == 1
    assert [body["reused"] for body in bodies].count(False) == 1
    folders = list((cli.home / "cache" / "caches").iterdir())
    assert len(folders) == 1 and verify(folders[0]).ok
    assert not list((cli.home / "cache" / "staging").iterdir()) and not list(
        (cli.home / "cache" / "claims").iterdir()
    )
    mine, whole = (
        FeatureCache.open(folders[0]),
        CacheRoot(shared.home / "cache").find(bodies[0]["fingerprint"]),
    )
    clips = [clip.id for clip in whole.catalog]
    assert np.array_equal(mine.tokens(clips), whole.tokens(clips))


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_groups_root_stays_the_groups_and_what_is_published_is_read_only(
    cli: Cli, videos: Path, umask: int
) -> None:
    root = cli.home / "cache"
    root.mkdir()
    root.chmod(0o2775)
    before = os.umask(umask)
    try:
        path = Path(cli.json(*ARGS, "--root", videos)["path"])
    finally:
        os.umask(before)
    for entry in root.rglob("*"):
        mode = entry.stat().st_mode
        published = entry == path or path in entry.parents
        assert mode & stat.S_IRGRP, entry
        assert bool(mode & stat.S_IWGRP) != published and bool(mode & stat.S_IWUSR) != published, (
            entry
        )
        if entry.is_dir():
            assert mode & stat.S_ISGID and mode & stat.S_IXGRP, entry


@pytest.mark.slow
def test_bad_clips_are_tried_again_only_when_asked(cli: Cli, videos: Path, tmp_path: Path) -> None:
    """A pipe times out.

    It is not tried again until --retry-bad, which keeps the good clips' chunks.
    """
    root = Path(shutil.copytree(videos, tmp_path / "videos"))
    victim = sorted(root.glob("*.mp4"))[0]
    victim.unlink()
    os.mkfifo(victim)
    first = cli.json(*ARGS, "--root", root, "--max-bad", "0.1", "--decode-timeout", "5", code=3)
    assert [entry["reason"] for entry in first["quarantined"]] == ["timeout"]
    assert cli.json(*ARGS, "--root", root, "--max-bad", "0.1", code=3)["reused"]
    chunk = next((Path(first["path"]) / "tokens").glob("c.*"))
    inode = chunk.stat().st_ino
    began = time.monotonic()
    again = cli.json(
        *ARGS, "--root", root, "--max-bad", "0.1", "--decode-timeout", "5", "--retry-bad", code=3
    )
    assert (
        time.monotonic() - began > 5
        and not again["reused"]
        and again["fingerprint"] == first["fingerprint"]
    )
    assert chunk.stat().st_ino == inode and verify(again["path"]).ok


def test_commands(cli: Cli, shared: Cli, videos: Path, tmp_path: Path) -> None:
    fingerprint = shared.json(*ARGS, "--root", videos)["fingerprint"]
    info = shared.json("cache", "info", fingerprint[:10])
    assert set(info) >= {
        "fingerprint",
        "spec",
        "clips",
        "views",
        "bytes",
        "complete",
        "quarantined",
    }
    assert (info["clips"], info["views"], info["complete"], info["quarantined"]) == (
        32,
        2,
        True,
        [],
    )
    assert info["bytes"] == (16 * 2 + 16) * 4 * 37 * 128 * 2 and info["spec"]["cut"] == 4
    listed = shared.json("cache", "ls")["caches"]
    assert fingerprint in [entry["fingerprint"] for entry in listed]
    assert (
        fingerprint[:12] in shared("cache", "ls").stdout
        and "spec.cut" in shared("cache", "info").stdout
    )
    deep = shared.json("cache", "verify", fingerprint, "--deep")
    assert deep["ok"] and deep["deep"]["clips"] == 16 and deep["deep"]["min_cosine"] > 0.9999
    file = tmp_path / "c.h5"
    assert shared.json("cache", "export", file, fingerprint)["fingerprint"] == fingerprint
    assert cli.json("cache", "import", file)["fingerprint"] == fingerprint
    path = cli.home / "cache" / "caches" / fingerprint[:32]
    assert "nothing was removed" in cli.error("cache", "rm")
    assert path.is_dir()
    (path.parent / ("f" * 32)).mkdir()
    (path.parent / ("f" * 32) / "thesis.tex").write_text("mine")
    assert "no cache" in cli.error("cache", "rm", str(path.parent / ("f" * 32)), "--yes")
    make_writable(path)
    (path / "notes.txt").write_text("mine")
    assert "also holds notes.txt" in cli.error("cache", "rm", path, "--yes")
    (path / "notes.txt").unlink()
    assert cli.json("cache", "rm", path, "--yes")["removed"] == str(path)
    assert not path.exists() and (path.parent / ("f" * 32) / "thesis.tex").exists()
    assert "no complete cache" in cli.error("cache", "info")


def test_verify_tells_what_is_damaged(copied: Cli, videos: Path) -> None:
    cli, report = copied, copied.json(*ARGS, "--root", videos)
    path = Path(report["path"])
    assert cli.json("cache", "verify") == {
        "ok": True,
        "path": str(path),
        "damaged": [],
        "missing": [],
        "files": [],
    }
    cache = FeatureCache.open(path)
    train, test = (
        next(clip.id for clip in cache.catalog if clip.split == side) for side in ("train", "test")
    )
    make_writable(path)
    flip(cache, train, 1)
    drop(cache, test, 0)
    found = cli.json("cache", "verify", path, code=4)
    assert (
        found["damaged"] == [{"clip": train, "view": 1}]
        and found["missing"] == [{"clip": test, "view": 0}]
        and not found["ok"]
    )
    plain = cli("cache", "verify", path)
    assert (
        plain.returncode == 4
        and f"damaged: clip {train}, view 1" in plain.stdout
        and f"missing: clip {test}, view 0" in plain.stdout
    )
    refused = cli.error("train", "--tasks", "2", "--set", "epochs=1")
    assert str(path) in refused and ("damaged" in refused or "missing" in refused)


@pytest.mark.slow
def test_deep_verification_needs_the_videos_and_notices_other_tokens(
    cli: Cli, videos: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(videos, tmp_path / "videos"))
    path = Path(cli.json(*ARGS, "--root", root)["path"])
    bundle = tmp_path / "b.h5"
    cli.json("cache", "export", bundle, path)
    moved = root.rename(tmp_path / "moved")
    assert "are not under" in cli.error("cache", "verify", path, "--deep")
    assert cli.json("cache", "verify", path, "--deep", "--root", moved)["ok"]
    # a bundle whose tokens are another model's, in itself consistent
    with h5py.File(bundle, "r+") as file:
        file["tokens"][...] = file["tokens"][...][::-1]
    cli.json("cache", "rm", path, "--yes")
    cli.json("cache", "import", bundle)
    assert cli.json("cache", "verify")["ok"]
    assert cli.json("cache", "verify", "--deep", "--root", moved, code=4)["deep"]["differing"]

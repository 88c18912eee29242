"""In a shared root and among runs, a stranger's file costs itself alone, and is named."""

import os
import shutil
from pathlib import Path

import pytest
from helpers.cli import INLINE, Cli
from helpers.resealed import reseal_folder, set_json
from structalign.cache import FeatureCache

DEEP = "[" * 200_000


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def nested(path: Path) -> None:
    path.write_text(DEEP)


def binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00" * 9)


@pytest.mark.parametrize("make", [pipe, folder, nested, binary])
def test_a_bad_file_in_a_run_is_named(make: object, shared: Cli, tmp_path: Path) -> None:
    """At once: opening a pipe would wait for ever."""
    assert callable(make)
    good = tmp_path / "good"
    shared.json("train", "--method", "zeroshot", "--tasks", "2", "--out", good)
    for name, verb in (
        ("config.json", "eval"), ("results.json", "report"), ("log.jsonl", "report"),
        ("sessions.jsonl", "report"), ("stages/01.json", "train"), ("evaluated.json", None),
        ("tasks/01/gallery-test.json", "eval"),
    ):  # fmt: skip
        bad = tmp_path / "bad"
        shutil.copytree(good, bad)
        (bad / name).unlink(missing_ok=True)
        make(bad / name)
        again = ("train", "--method", "zeroshot", "--tasks", "2", "--out", bad)
        command = again if verb == "train" else (verb or "eval", bad)
        if verb:
            assert str(bad / Path(name).parent) in shared.error(*command), name
        elif make is not folder:
            assert shared.json(*command)["method"] == "zeroshot"
        shutil.rmtree(bad)


@pytest.mark.parametrize("make", [pipe, folder, nested, binary])
def test_one_bad_file_stops_nobody(make: object, copied: Cli, videos: Path) -> None:
    assert callable(make)
    cli, whole = copied, copied.json(*INLINE, "--root", videos, "--cut", "4")
    root = cli.home / "cache"
    for name in ("complete.json", "spec.json", "catalog.arrow"):
        bad = root / "caches" / f"bad-{name}"
        shutil.copytree(whole["path"], bad)
        for path in (bad, *bad.rglob("*")):
            path.chmod(0o755)
        (bad / name).unlink()
        make(bad / name)
    for name in ("lease.0001", *(path.name for path in (root / "known").glob("*.json"))):
        place = root / ("claims" if name.startswith("lease") else "known")
        place.mkdir(exist_ok=True)
        (place / name).unlink(missing_ok=True)
        make(place / name)
    listed = cli.json("cache", "ls")["caches"]
    errors = {Path(entry["path"]).name: entry.get("error") for entry in listed}
    assert errors.pop(Path(whole["path"]).name) is None
    assert sorted(errors) == ["bad-catalog.arrow", "bad-complete.json", "bad-spec.json"]
    assert all(errors.values())
    assert cli.json("cache", "info")["fingerprint"] == whole["fingerprint"]
    again = cli.json(*INLINE, "--root", videos, "--cut", "4")
    assert again["reused"] and again["fingerprint"] == whole["fingerprint"]
    assert not cli.json(*INLINE, "--root", videos, "--cut", "3", "--limit", "4")[
        "reused"
    ]  # looks at all


def test_no_control_characters_on_the_terminal(cli: Cli, videos: Path, tmp_path: Path) -> None:
    """A caption that clears the screen, an error that names a file with colours."""
    root = Path(shutil.copytree(videos, tmp_path / "videos"))
    lines = (root / "manifest.csv").read_text().splitlines()
    lines[1:] = [line + "\x1b[2J\u202e" for line in lines[1:]]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    made = cli.json(*INLINE, "--root", root, "--cut", "4")
    captions = [text for clip in FeatureCache.open(made["path"]).catalog for text in clip.captions]
    assert any("\x1b" in text for text in captions)  # kept as they are, shown as escapes
    for command in (
        ("cache", "info", "no\x1b[31msuch"),
        ("cache", "ls"),
        ("train", "--tasks", "2", "--method", "a\x1b]0;b"),
        ("search", "no\x1b[31mrun", "query"),
    ):
        done = cli(*command)
        assert "\x1b" not in done.stdout + done.stderr, command


def test_extracting_beside_a_cache_of_another_decoder_version(copied: Cli, videos: Path) -> None:
    """The log says that it exists; it stays."""
    cli, made = copied, copied.json(*INLINE, "--root", videos, "--cut", "4")
    old = cli.home / "cache" / "caches" / "of-another-decoder"
    shutil.copytree(made["path"], old)
    for path in (old, *old.rglob("*")):
        path.chmod(0o755)
    reseal_folder(old, set_json("spec.json", decoder="decord2 3.4.0"))
    published = Path(made["path"])
    published.chmod(0o755)
    published.rename(cli.home / "moved")
    done = cli(*INLINE, "--root", videos, "--cut", "4")
    assert done.returncode == 0, done.stderr
    assert (
        "holds the same clips, decoded by 'decord2 3.4.0' instead of 'display order 2"
        in done.stderr
    )
    assert {one["complete"] for one in cli.json("cache", "ls")["caches"]} == {True}

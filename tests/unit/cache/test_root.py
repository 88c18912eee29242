"""A name that several caches have names none of them; what runs need is not removed unsaid."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.cli import EXTRACT, QUICK, Cli
from structalign.cache import CacheRoot, StructAlignError
from structalign.core.permissions import make_writable


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> tuple[Cli, list[str]]:
    """A command line with two caches of one name, the older one first. Read it."""
    cli = Cli(tmp_path_factory.mktemp("two"))
    return cli, [
        cli.json(*EXTRACT, "--root", videos, "--cut", cut)["fingerprint"] for cut in ("4", "3")
    ]


def test_an_ambiguous_name_lists_its_caches(two: tuple[Cli, list[str]]) -> None:
    """The newest was taken, and removed, without a word."""
    cli, (older, newer) = two
    for line in (
        ("cache", "info", "manifest"), ("cache", "verify", "manifest"),
        ("cache", "export", cli.home / "x.h5", "manifest"), ("cache", "rm", "manifest", "--yes"),
        ("train", "--cache", "manifest", *QUICK),
    ):  # fmt: skip
        message = cli.error(*line)
        assert "2 caches fit 'manifest'; name one of them: " in message, line
        assert f"manifest@{newer[:12]} (20" in message and f"manifest@{older[:12]} (20" in message
        assert "32 clips" in message
    assert cli.json("cache", "info", f"manifest@{older[:6]}")["fingerprint"] == older
    assert cli.json("cache", "info", older[:8])["fingerprint"] == older
    assert cli.json("cache", "info")["fingerprint"] == newer
    assert "no cache 'manifest@zz'" in cli.error("cache", "info", "manifest@zz")


def test_a_name_of_which_one_cache_opens(two: tuple[Cli, list[str]], tmp_path: Path) -> None:
    """To train from; to check or remove one of them, say which."""
    cli, (older, newer) = two
    root = CacheRoot(Path(shutil.copytree(cli.home / "cache", tmp_path / "cache")))
    make_writable(root.folder(newer))
    (root.folder(newer) / "spec.json").write_text(json.dumps({"dataset": "manifest"}))
    assert root.find("manifest").fingerprint == older
    with pytest.raises(StructAlignError, match=r"2 caches fit 'manifest'.*damaged"):
        root.locate("manifest")


def test_removing_names_the_runs_that_need_it(two: tuple[Cli, list[str]], tmp_path: Path) -> None:
    cli, (older, _) = two
    mine = Cli(tmp_path)
    shutil.copytree(cli.home / "cache", tmp_path / "cache")
    mine.json("train", *QUICK[:2], "--method", "zeroshot", "--cache", older[:12])
    (run,) = (tmp_path / "runs").iterdir()
    swept = tmp_path / "runs" / "sweep" / "tries" / "one"
    shutil.copytree(run, swept)
    asked = mine("cache", "rm", older[:12])
    assert asked.returncode == 1 and "nothing was removed" in asked.stderr
    assert "2 of the runs under" in asked.stderr and str(run) in asked.stderr
    body = mine.json("cache", "rm", older[:12], "--yes")
    assert body["needed_by"] == [str(run), str(swept)]
    assert mine.json("cache", "rm", "manifest", "--yes")["needed_by"] == []

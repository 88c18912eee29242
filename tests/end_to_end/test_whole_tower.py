"""``--cut all``: frames are embeddings; derived from a deeper cache to the byte; texts learn."""

from pathlib import Path
from typing import Any

import pytest
from helpers.cli import EXTRACT, QUICK, Cli
from structalign.cache import FeatureCache

WHOLE = (*EXTRACT, "--cut", "all")


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, shared: Cli, videos: Path
) -> tuple[Cli, dict[str, Any]]:
    """A root with the whole tower's cache, extracted from the videos."""
    cli = Cli(tmp_path_factory.mktemp("whole"))
    return cli, cli.json(*WHOLE, "--root", videos)


def files(folder: Path) -> dict[str, bytes]:
    """The files of a cache but for how and when it was made."""
    found = [file for file in folder.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in found
        if file.name not in {"complete.json", "times.safetensors"}
    }


def test_derived_from_a_deeper_cache_it_is_the_extracted_one(
    whole: tuple[Cli, dict[str, Any]], shared: Cli, tmp_path: Path
) -> None:
    """The deeper cache is cut where the extraction's tokens pass through float16."""
    _, extracted = whole
    deeper = shared.json("cache", "ls")["caches"][0]["path"]
    cli = Cli(tmp_path)
    derived = cli.json("cache", "derive", deeper, "--cut", "all")
    assert derived["fingerprint"] == extracted["fingerprint"] and not derived["reused"]
    assert files(Path(derived["path"])) == files(Path(extracted["path"]))
    assert cli.json("cache", "derive", deeper, "--cut", "all")["reused"]
    assert cli.json("cache", "verify", derived["path"])["ok"]
    again = cli("cache", "derive", derived["path"], "--cut", "all")
    assert again.returncode == 1 and "is cut at all already" in again.stderr


def test_tokens_are_the_frame_and_its_quarters(
    whole: tuple[Cli, dict[str, Any]], videos: Path
) -> None:
    cli, extracted = whole
    cache = FeatureCache.open(extracted["path"])
    clips = [clip.id for clip in cache.available(list(cache.catalog))]
    tokens = cache.tokens(clips)
    assert tokens.shape[2:] == (5, 128)
    alone = cli.json(*WHOLE, "--grid", "none", "--root", videos)
    assert alone["fingerprint"] != extracted["fingerprint"]
    frames = FeatureCache.open(alone["path"]).tokens(clips)
    assert frames.shape[2:] == (1, 128) and (frames[:, :, 0] == tokens[:, :, 0]).all()
    assert cli.json("cache", "info", extracted["path"])["spec"]["grid"] == 2
    assert {c["cut"] for c in cli.json("cache", "ls")["caches"]} == {"all"}


def test_texts_learn_and_a_new_video_is_found(
    whole: tuple[Cli, dict[str, Any]], videos: Path
) -> None:
    cli, extracted = whole
    results = cli.json("train", *QUICK, "--cache", extracted["path"], "--out", cli.home / "run")
    assert results["backbone"]["cut"] == "all"
    assert any("no frame fusion" in line for line in results["warnings"])
    assert cli.json("search", cli.home / "run", "a red star")["results"]
    refused = cli(
        "train", *QUICK, "--cache", extracted["path"], "--set", "adapted_blocks=2",
        "--out", cli.home / "refused",
    )  # fmt: skip
    assert refused.returncode == 1 and "this one is cut at all" in refused.stderr


def test_what_cannot_be_is_one_line(cli: Cli, videos: Path) -> None:
    refused = {
        ("--grid", "2"): "--grid 2 belongs to --cut all",
        (
            "--backbone",
            "RN50",
            "--pretrained",
            "random:0",
            "--cut",
            "2",
        ): "freeze it with --cut all",
        ("--cut", "al"): "a whole number, or all",
        ("--tokenizer", "lost.json"): "lost.json: there is no such file",
    }
    for given, message in refused.items():
        ended = cli(*EXTRACT, "--root", videos, *given)
        assert ended.returncode and message in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_tower_without_blocks_needs_no_other_option(cli: Cli, videos: Path) -> None:
    """The cut was -1 in the published specification, which nothing could open."""
    tower = ("--backbone", "RN50", "--pretrained", "random:0", "--limit", "8")
    body = cli.json(*WHOLE, "--root", videos, *tower)
    cache = FeatureCache.open(body["path"])
    assert cache.spec.cut == 0 and cache.tokens([cache.catalog.clips[0].id]).shape[2:] == (5, 1024)
    assert cli.json("cache", "verify", body["path"])["ok"]


def test_more_adapted_blocks_than_there_are(cli: Cli, videos: Path) -> None:
    """All were adapted, in silence."""
    told = cli.error(*EXTRACT, "--root", videos, "--adapted-blocks", "99")
    assert "--adapted-blocks 99: 'demo' has 6 vision blocks" in told

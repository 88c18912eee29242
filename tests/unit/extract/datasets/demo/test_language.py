"""The demo world's conflict dial: the same videos, words that change their meaning."""

from pathlib import Path

import numpy as np
import pytest
from helpers.cli import Cli
from helpers.demo_world import write_demo
from structalign.cache import StructAlignError
from structalign.extract.datasets.demo import Demo
from structalign.extract.datasets.demo.language import GROUPS, SYNONYMS, synonyms
from structalign.extract.datasets.demo.world import CATEGORIES, PHASE, build_world


@pytest.mark.parametrize("conflict", [0.0, 0.3, 1.0])
def test_words_change_their_meaning_within_their_group(conflict: float) -> None:
    shared = synonyms(conflict, np.random.default_rng(0))
    assert sorted(shared.values()) == sorted(SYNONYMS.values()), "none is lost, none is doubled"
    for group in GROUPS:
        mine = [word for word in group if word in SYNONYMS]
        assert {shared[word] for word in mine} == {SYNONYMS[word] for word in mine}
        moved = sum(shared[word] != SYNONYMS[word] for word in mine)
        wanted = round(conflict * len(mine))
        assert moved == (wanted if wanted > 1 else 0)


def test_the_dial_changes_captions_alone_and_the_first_phase_not_at_all() -> None:
    plain, turned = build_world(5), build_world(5, 1.0)
    assert [clip.scene for clip in plain] == [clip.scene for clip in turned]
    first = list(dict.fromkeys(clip.category for clip in plain))[:PHASE]
    for one, other in zip(plain, turned, strict=True):
        assert (one.name, one.split, one.twin) == (other.name, other.split, other.twin)
        if one.category in first:
            assert one.captions == other.captions
    changed = [a.captions != b.captions for a, b in zip(plain, turned, strict=True)]
    assert 0.5 < sum(changed) / len(changed) < 1
    half = [a.captions != b.captions for a, b in zip(plain, build_world(5, 0.5), strict=True)]
    assert 0 < sum(half) < sum(changed)
    assert len(CATEGORIES) % PHASE == 0
    sentences = [clip.captions[0] for clip in turned if clip.split == "test"]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.slow
def test_a_world_with_conflict_has_a_name_and_the_demos_settings(cli: Cli, tmp_path: Path) -> None:
    write_demo(cli.home / "cache", 40)
    line = ("extract", "--dataset", "demo", "--limit", "40", "--engine", "inline")
    plain = cli.json(*line)
    turned = cli.json(*line, "--conflict", "1")
    assert plain["fingerprint"] != turned["fingerprint"]
    assert len(list((cli.home / "cache" / "datasets").iterdir())) == 1, "videos are shared"
    names = {entry["fingerprint"]: entry["dataset"] for entry in cli.json("cache", "ls")["caches"]}
    assert names == {plain["fingerprint"]: "demo", turned["fingerprint"]: "demo@conflict=1"}
    run = ("train", "--cache", "demo@conflict=1", "--tasks", "2", "--set", "epochs=1")
    results = cli.json(*run, "--out", tmp_path / "run")
    assert results["dataset"] == "demo@conflict=1"
    assert (results["settings"]["etf"], results["settings"]["lr_text"]) == ("simplex", 2e-3)


def test_a_conflict_is_a_share() -> None:
    with pytest.raises(StructAlignError, match="--conflict=2 must be at least 0 and at most 1"):
        Demo(conflict=2)

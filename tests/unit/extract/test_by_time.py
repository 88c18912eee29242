"""A cache whose frames are sampled by time: extracted, audited, queried, appended as such."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import corpus
from helpers.other_files import make_other_files
from structalign.cache import FeatureCache
from structalign.cache.inventory import describe, description
from structalign.cache.root import CacheRoot
from structalign.extract import extract
from structalign.extract.audit import audit
from structalign.extract.new_video import new_video_tokens
from structalign.train import append, train

TIMES = [*range(0, 1000, 50), *range(1000, 6000, 500)]  # milliseconds: most in the first second


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variable")
    corpus.write(folder / "film.mp4", frames=len(TIMES), times=TIMES)
    rows = ["clip_id,path,start,end,caption", "whole,film.mp4,,,a", "part,film.mp4,0.5,4.5,b"]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def extracted(folder: Path, sampling: str | None) -> FeatureCache:
    return extract(
        "manifest", root=folder, sampling=sampling, backbone="demo", frames=6, views=2,
        engine="inline", cache_root=folder / "cache",
    )  # fmt: skip


def test_its_tokens_are_those_of_frames_even_in_time(folder: Path) -> None:
    by_time, by_number = extracted(folder, None), extracted(folder, "number")
    assert by_time.spec.by_time and not by_number.spec.by_time
    assert by_time.fingerprint != by_number.fingerprint
    text = description(describe(CacheRoot(folder / "cache"), by_time.fingerprint))
    assert re.search(r"^spec.sampling +interval-midpoints in time$", text, re.MULTILINE)
    for cache in (by_time, by_number):
        assert audit(cache.path, None)["differing"] == []
        for clip in cache.catalog:
            fresh = new_video_tokens(cache, folder / clip.path, clip.start, clip.end)
            assert np.array_equal(fresh, cache.tokens([clip.id])[0])
    for name in ("whole", "part"):
        assert not np.array_equal(by_time.tokens([name]), by_number.tokens([name]))


def test_a_run_takes_a_cache_of_another_sampling_and_says_so(folder: Path, tmp_path: Path) -> None:
    """As own videos are sampled after a benchmark's."""
    run = train(
        extracted(folder, "number"), method="zeroshot", tasks=1, out=tmp_path / "run", device="cpu"
    )
    later = tmp_path / "later"
    shutil.copytree(folder, later, ignore=shutil.ignore_patterns("cache"))
    make_other_files(later)
    said: list[str] = []
    grown = append(run, extracted(later, "time"), tasks=1, note=said.append)
    assert [part.cache.spec.by_time for part in grown.parts] == [False, True]
    assert any("are sampled by time, the run's by number" in line for line in said)

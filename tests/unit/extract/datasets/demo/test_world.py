"""The demo world: the same for the same seed, with the shape of the real benchmarks."""

import hashlib
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from structalign.extract.datasets.demo.files import VERSION, generate, write_clip
from structalign.extract.datasets.demo.language import PLAIN_WORDS, SYNONYMS, vocabulary
from structalign.extract.datasets.demo.scene import REVERSED, render
from structalign.extract.datasets.demo.world import WorldClip, build_world


@pytest.fixture(scope="module")
def world() -> list[WorldClip]:
    return build_world(0)


def test_the_catalogs_hash_is_that_of_version_0_3(tmp_path: Path) -> None:
    """It is part of every demo cache's fingerprint."""
    home = tmp_path / f"demo-v{VERSION}-seed0"
    home.mkdir()
    (home / "world.json").touch()  # the videos do not matter here
    fingerprinted = generate(tmp_path, 0).hash()
    assert fingerprinted == "2132036ccac41fde03c6d83f97768b5430f8fcb6b7862c9baa58d4b0c282250f"


def test_counts(world: list[WorldClip]) -> None:
    per_category = Counter((clip.category, clip.split) for clip in world)
    assert len({clip.category for clip in world}) == 20
    assert set(per_category.values()) == {16, 60}
    assert all(len(clip.captions) == (6 if clip.split == "train" else 1) for clip in world)


def test_no_two_test_clips_share_content_and_caption(world: list[WorldClip]) -> None:
    test = [clip for clip in world if clip.split == "test"]
    assert len({clip.captions[0] for clip in test}) == len(test)
    assert len({clip.scene for clip in test}) == len(test)


def test_a_fifth_are_twins_that_differ_in_motion_alone(world: list[WorldClip]) -> None:
    by_name = {clip.name: clip for clip in world}
    twins = [clip for clip in world if clip.twin]
    assert len(twins) == 20 * 60 // 5
    for clip in twins:
        other = by_name[clip.twin or ""]
        assert (
            other.twin == clip.name
            and other.scene == clip.scene.reversed()
            and other.frames == clip.frames
        )
        assert other.captions[0] == clip.captions[0].replace(
            clip.scene.motion, REVERSED[clip.scene.motion]
        )
        times = np.linspace(0, 1, 5, dtype=np.float32)
        assert (
            np.abs(
                render(clip.scene, times).astype(int) - render(other.scene, times)[::-1].astype(int)
            ).max()
            <= 1
        )


def test_words_are_shared_plain_and_of_one_category(world: list[WorldClip]) -> None:
    words: dict[str, set[str]] = {}
    for clip in world:
        for caption in clip.captions:
            for word in caption.split():
                words.setdefault(word, set()).add(clip.category)
    assert set(words) <= set(vocabulary())
    invented = [
        word
        for word in words
        if word not in PLAIN_WORDS and word not in SYNONYMS.values() and len(words[word]) == 1
    ]
    assert len(invented) > 80
    assert sum(len(words.get(word, ())) > 10 for word in SYNONYMS.values()) > 30


def test_seeds(world: list[WorldClip]) -> None:
    assert build_world(0) == world
    assert build_world(1) != world


def test_files_are_real_h264_and_deterministic(world: list[WorldClip], tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_clip(world[5], tmp_path / name)
        digests.append(
            hashlib.sha256((tmp_path / name / f"{world[5].name}.mp4").read_bytes()).hexdigest()
        )
    assert digests[0] == digests[1]
    with av.open(str(tmp_path / "one" / f"{world[5].name}.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.frames == world[5].frames


def test_a_clip_has_the_same_bytes_every_time(world: list[WorldClip], tmp_path: Path) -> None:
    """With x264's macroblock tree one clip in fourteen differed from run to run (AVX-512)."""
    for clip in world[:: len(world) // 30]:
        hashes = set()
        for _ in range(4):
            write_clip(clip, tmp_path)
            hashes.add(hashlib.sha256((tmp_path / f"{clip.name}.mp4").read_bytes()).hexdigest())
        assert len(hashes) == 1, clip.name

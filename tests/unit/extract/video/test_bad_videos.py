"""Every kind of bad video ends in quarantine with its reason, every odd one works, and neighbours
never notice.
"""

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import corpus
from helpers.cli import EXTRACT, INLINE, Cli
from structalign.benchmarks.parts.demo_manifest import write_manifest
from structalign.cache import FeatureCache
from structalign.extract.datasets.demo.world import WorldClip
from structalign.extract.video.decoder import Decoder
from structalign.extract.video.errors import ClipError


def test_odd_files_work(tmp_path: Path) -> None:
    with Decoder(60) as decoder:
        shapes = {
            name: decoder.decode(path, None, None, 4).frames.shape
            for name, path in corpus.good(tmp_path).items()
        }
    expected = dict.fromkeys(shapes, (4, 96, 128, 3)) | {
        "rotated": (4, 128, 96, 3),
        "very wide": (4, 16, 4096, 3),
        "tiny": (4, 48, 64, 3),
    }
    assert shapes == expected


def test_widths_that_decord_cannot_copy(tmp_path: Path) -> None:
    """Its "from_size == to_size"; which widths they are depends on the processor."""
    with Decoder(60) as decoder:
        for width in (32, 48, 64, 96, 144, 160):
            path = corpus.write(tmp_path / f"{width}.mp4", frames=10, size=(width, 64))
            frames = decoder.decode(path, None, None, 5).frames
            with av.open(str(path)) as container:
                truth = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            assert np.array_equal(frames, np.stack(truth[::2])), width


def test_bad_files_end_with_their_reason(tmp_path: Path) -> None:
    reasons = {}
    files = corpus.bad(tmp_path)
    with Decoder(60) as decoder:
        for name, (_, path) in files.items():
            decoder.timeout = 3 if path.is_fifo() else 60
            try:
                decoder.decode(path, None, None, 12)
                reasons[name] = "decoded"
            except ClipError as error:
                reasons[name] = error.reason
    assert reasons == {name: reason for name, (reason, _) in files.items()}


@pytest.mark.slow
def test_the_outcome_of_a_file_does_not_depend_on_what_was_decoded_before(tmp_path: Path) -> None:
    """Twice in one decoder and in three orders: a repeated message of damage was left out.

    PyAV drops a log message that equals the last one, of another file too.
    """
    files = [
        *corpus.damaged_codecs(tmp_path, 6),
        *(path for _, path in corpus.bad(tmp_path).values() if not path.is_fifo()),
    ]
    shuffled = [files[n] for n in np.random.default_rng(0).permutation(len(files))]
    outcomes: dict[Path, set[tuple[str, str]]] = {path: set() for path in files}
    for order in ([path for path in files for _ in "12"], files[::-1], shuffled):
        with Decoder(60) as decoder:
            for path in order:
                try:
                    frames = decoder.decode(path, None, None, 6).frames
                    outcome = ("decoded", hashlib.sha256(frames.tobytes()).hexdigest())
                except ClipError as error:
                    outcome = (error.reason, error.message)
                outcomes[path].add(outcome)
    assert {path.name: found for path, found in outcomes.items() if len(found) > 1} == {}
    reasons = Counter(next(iter(found))[0] for found in outcomes.values())
    assert reasons["substituted_frames"] > 10 and reasons["decoded"] >= len(corpus.CODECS)
    assert not reasons["worker_crash"] and not reasons["timeout"]


def test_a_message_is_of_its_own_file(tmp_path: Path) -> None:
    """PyAV's error of a file that logs nothing ended with what an earlier file had logged."""
    film = corpus.write(tmp_path / "film.avi", "msmpeg4v2", 20)
    body, rng = bytearray(film.read_bytes()), np.random.default_rng(0)
    at = int(rng.integers(len(body) // 4, len(body) - 400))
    body[at : at + 8] = rng.bytes(8)
    film.write_bytes(body)
    (tmp_path / "a.bin").write_text("no video\n" * 99)
    (tmp_path / "a.mp4").write_text("no video\n" * 99)
    heard = []
    with Decoder(60) as decoder:
        for path in (film, tmp_path / "a.bin", tmp_path / "a.mp4"):
            with pytest.raises(ClipError) as error:
                decoder.decode(path, None, None, 6)
            heard.append(error.value.message)
    assert heard == [
        "the decoder hid damage: illegal dc vlc",
        "not a video of a known format (Invalid data found when processing input)",
        "not a video of a known format (moov atom not found)",
    ]


def test_a_codec_that_is_not_known_is_named_so(tmp_path: Path) -> None:
    """PyAV has no codec context for it; the decoder died."""
    path = corpus.write(tmp_path / "film.mp4", frames=5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"ZZZZ"))
    with Decoder(60) as decoder, pytest.raises(ClipError, match="codec is not known") as error:
        decoder.decode(path, None, None, 2)
    assert error.value.reason == "unreadable"


def test_most_damage_to_h264_is_found(tmp_path: Path) -> None:
    """Random damage that changes frames is nearly always an error.

    (A valid stream of other pictures cannot be distinguished from the right one.)
    """
    source = corpus.write(tmp_path / "a.mp4", movflags="faststart")
    with Decoder(60) as decoder:
        whole = decoder.decode(source, None, None, 12).frames
        found = unnoticed = 0
        for seed in range(20):
            try:
                frames = decoder.decode(
                    corpus.damaged(tmp_path / "b.mp4", source, 40, seed), None, None, 12
                ).frames
                unnoticed += not np.array_equal(frames, whole)
            except ClipError as error:
                assert error.reason in ("substituted_frames", "decode_error")
                found += 1
    assert found >= 15 and unnoticed <= 3, (found, unnoticed)


@pytest.mark.slow
def test_frames_of_absurd_size_cost_themselves(tmp_path: Path, videos: Path) -> None:
    huge = corpus.write(tmp_path / "huge.mp4", "mpeg4", frames=1, size=(8176, 8176))
    with Decoder(120) as decoder:
        with pytest.raises(ClipError, match="frames of 66,846,976 pixels; at most 35,389") as error:
            decoder.decode(huge, None, None, 60)
        assert error.value.reason == "too_large"
        assert len(decoder.decode(sorted(videos.glob("*.mp4"))[0], None, None, 2).frames) == 2


@pytest.mark.slow
def test_large_frames_are_scaled(tmp_path: Path) -> None:
    """8K: decoded to 1,080 lines, so that a clip's frames fit into memory."""
    large = corpus.write(tmp_path / "large.mp4", "mpeg4", frames=4, size=(7680, 4320))
    with Decoder(120) as decoder:
        frames = decoder.decode(large, None, None, 12).frames
    assert frames.shape == (12, 1080, 1920, 3)
    with av.open(str(large)) as container:
        whole = next(container.decode(video=0)).to_ndarray(format="rgb24")
    means = whole.reshape(1080, 4, 1920, 4, 3).mean((1, 3))
    assert np.abs(frames[0] - means).mean() < 3


def test_good_clips_do_not_notice_bad_neighbours(
    shared: Cli, cli: Cli, videos: Path, tmp_path: Path, world_clips: list[WorldClip]
) -> None:
    root = Path(shutil.copytree(videos, tmp_path / "videos"))
    (tmp_path / "bad").mkdir()
    files = [
        (reason, path)
        for reason, path in corpus.bad(tmp_path / "bad").values()
        if reason != "timeout"
    ]
    chosen = world_clips[::2]
    for clip, (_, path) in zip(chosen, files, strict=False):
        target = root / f"{clip.name}.mp4"
        target.unlink()
        if path.exists():
            shutil.copyfile(path, target)
    write_manifest(root / "manifest.csv", world_clips)
    report = cli.json(*EXTRACT, "--root", root, "--cut", "4", "--max-bad", "0.6", code=3)
    wanted = {clip.name: reason for clip, (reason, _) in zip(chosen, files, strict=False)}
    assert {entry["clip"]: entry["reason"] for entry in report["quarantined"]} == wanted
    whole, rest = (
        FeatureCache.open(shared.json(*INLINE, "--root", videos, "--cut", "4")["path"]),
        FeatureCache.open(report["path"]),
    )
    for good in rest.available(list(rest.catalog)):
        for view in range(rest.views.views(good.id)):
            assert np.array_equal(rest.tokens([good.id], view), whole.tokens([good.id], view))

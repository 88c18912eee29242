"""The decoder always comes back: with frames, or with a reason."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from structalign.core.errors import StructAlignError
from structalign.extract.datasets.demo.scene import render
from structalign.extract.datasets.demo.world import WorldClip
from structalign.extract.video.decoder import Decoder
from structalign.extract.video.errors import ClipError
from structalign.extract.video.sampling import sample_frames


def test_frames_are_the_rendered_ones(videos: Path, world_clips: list[WorldClip]) -> None:
    clip = next(clip for clip in world_clips if clip.scene.motion != "still")
    with Decoder(30) as decoder:
        frames = decoder.decode(videos / f"{clip.name}.mp4", None, None, 4).frames
    assert frames.shape == (4, 64, 64, 3)
    every = render(
        clip.scene, np.arange(clip.frames, dtype=np.float32) / np.float32(clip.frames - 1)
    ).astype(int)
    for frame, index in zip(frames.astype(int), sample_frames(0, clip.frames, 4), strict=True):
        distance = np.abs(every - frame).mean(axis=(1, 2, 3))
        assert distance[index] < 12  # lossy, but this frame
        assert distance[index] <= distance.min() + 1


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("gone.mp4", None, "missing"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"not a video at all\n" * 50, "unreadable"),
    ],
)
def test_reasons(tmp_path: Path, name: str, body: bytes | None, reason: str) -> None:
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with Decoder(30) as decoder, pytest.raises(ClipError) as error:
        decoder.decode(tmp_path / name, None, None, 4)
    assert error.value.reason == reason


def test_a_hang_ends_at_the_timeout_and_the_next_clip_is_fine(tmp_path: Path, videos: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with Decoder(2) as decoder:
        began = time.monotonic()
        with pytest.raises(ClipError) as error:
            decoder.decode(tmp_path / "pipe.mp4", None, None, 4)
        assert error.value.reason == "timeout"
        assert time.monotonic() - began < 120
        decoder.timeout = 60
        assert len(decoder.decode(sorted(videos.glob("*.mp4"))[0], None, None, 4).frames) == 4


def startup(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python that starts from now on runs ``code`` first."""
    (folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_slow_start_is_not_on_the_first_clips_time(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine or a cold network disk imports for longer than a clip may take.

    The clip was put into quarantine.
    """
    startup(tmp_path, "import time\ntime.sleep(4)", monkeypatch)
    with Decoder(3) as decoder:
        assert len(decoder.decode(sorted(videos.glob("*.mp4"))[0], None, None, 4).frames) == 4


def test_a_decoder_that_cannot_start_is_no_clips_fault(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    startup(
        tmp_path,
        "import os\nos.write(2, b'first line\\nno libavcodec here\\n')\nos._exit(1)",
        monkeypatch,
    )
    with (
        Decoder(3) as decoder,
        pytest.raises(
            StructAlignError, match=r"^the decoder does not start \(3 tries\): no libavcodec here$"
        ),
    ):
        decoder.decode(sorted(videos.glob("*.mp4"))[0], None, None, 4)


def test_a_dead_decoder_costs_one_clip(videos: Path) -> None:
    file = sorted(videos.glob("*.mp4"))[0]
    with Decoder(60) as decoder:
        decoder.decode(file, None, None, 2)
        assert decoder._child is not None
        decoder._child.kill()
        with pytest.raises(ClipError) as error:
            decoder.decode(file, None, None, 2)
        assert error.value.reason == "worker_crash"
        assert len(decoder.decode(file, None, None, 2).frames) == 2


def test_a_timed_clip(videos: Path, world_clips: list[WorldClip]) -> None:
    clip = world_clips[1]
    file = videos / f"{clip.name}.mp4"
    with Decoder(60) as decoder:
        whole = decoder.decode(file, None, None, clip.frames).frames
        part = decoder.decode(file, 4 / clip.fps + 1e-6, 8 / clip.fps + 1e-6, 4).frames
        assert np.array_equal(part, whole[4:8])
        with pytest.raises(ClipError, match="no frame between"):
            decoder.decode(file, 1e4, 2e4, 4)

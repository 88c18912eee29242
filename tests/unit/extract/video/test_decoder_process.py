"""Files that open others, and machines that give little memory."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import corpus
from PIL import Image
from structalign.extract.video.decoder import Decoder
from structalign.extract.video.errors import ClipError

PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2.4,\n{film}\n#EXT-X-ENDLIST\n",
    "list.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2.4,\n{film}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{film}'\n",
    "list.mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet><Representation id="1">'
    "<BaseURL>{film}</BaseURL></Representation></AdaptationSet></Period></MPD>\n",
    "notes.txt": "a text that FFmpeg would draw as a picture\n" * 40,
    "art.nfo": "a text that FFmpeg would draw as a picture\n" * 40,
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_playlists_and_texts_are_no_videos(name: str, tmp_path: Path) -> None:
    """They would show files that the cache's fingerprint knows nothing of."""
    film = corpus.write(tmp_path / "outside.mp4", frames=10)
    (tmp_path / name).write_text(PLAYLISTS[name].format(film=film))
    with Decoder(30) as decoder, pytest.raises(ClipError) as error:
        decoder.decode(tmp_path / name, None, None, 4)
    assert error.value.reason == "unreadable"


def limited(code: str, gigabytes: float) -> subprocess.CompletedProcess[str]:
    """Python that runs ``code`` under a hard limit of address space, as ``ulimit -v`` sets it."""
    limit = int(gigabytes * 10**9)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )


DECODE = """
from pathlib import Path
from structalign.extract.video.decoder import Decoder
with Decoder(60) as decoder:
    print(decoder.decode(Path({film!r}), None, None, 4).frames.shape)
"""
RAY = """
from structalign.core.ray_session import ray_session
with ray_session(None):
    pass
"""


@pytest.mark.parametrize("gigabytes", [4, 8.59])
def test_a_limit_of_memory(gigabytes: float, tmp_path: Path) -> None:
    film = corpus.write(tmp_path / "film.mp4", frames=10)
    done = limited(DECODE.format(film=str(film)), gigabytes)
    assert done.stdout == "(4, 96, 128, 3)\n", done.stderr


def test_too_little_memory_is_reported(tmp_path: Path) -> None:
    film = corpus.write(tmp_path / "film.mp4", frames=10)
    decoder, ray = limited(DECODE.format(film=str(film)), 1.5), limited(RAY, 8.59)
    assert "the decoder does not start (3 tries)" in decoder.stderr
    assert "Ray needs 12 GB of address space and 'ulimit -v' leaves 8.6" in ray.stderr


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture_is_a_video_of_one_frame(tmp_path: Path, suffix: str) -> None:
    """Reference images, for methods that distil on some."""
    y, x = np.mgrid[:96, :128]
    picture = np.stack([x, y, np.full_like(x, 90)], -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / f"picture.{suffix}", quality=95)
    with Decoder(30) as decoder:
        frames = decoder.decode(tmp_path / f"picture.{suffix}", None, None, 2).frames
    assert frames.shape == (2, 96, 128, 3) and np.array_equal(frames[0], frames[1])
    assert np.abs(frames[0].astype(int) - picture).mean() < (0.1 if suffix == "png" else 4)


def test_a_series_of_pictures_opens_one_file_alone(tmp_path: Path) -> None:
    for number in range(3):
        colour = Image.new("RGB", (64, 48), (80 * number, 0, 0))
        colour.save(tmp_path / f"p{number}.jpg")
    (tmp_path / "p%d.jpg").write_bytes((tmp_path / "p0.jpg").read_bytes())
    with Decoder(30) as decoder:
        decoded = decoder.decode(tmp_path / "p%d.jpg", None, None, 3)
    assert len({frame.tobytes() for frame in decoded.frames}) == 1

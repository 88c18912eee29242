"""Animated pictures are the short videos that a browser plays."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus import cut
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from structalign.extract.video.decoder import Decoder
from structalign.extract.video.errors import ClipError

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90))
SECONDS = (0.1, 0.2, 0.3, 0.4)
SUFFIXES = ("gif", "webp", "png", "avif")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(60) as decoder:
        yield decoder


def write_animation(path: Path) -> Path:
    """Four frames of one colour each, longer and longer."""
    first, *others = (Image.new("RGB", (64, 48), colour) for colour in COLOURS)
    durations = [round(1000 * seconds) for seconds in SECONDS]
    first.save(path, save_all=True, append_images=others, duration=durations)
    return path


def colours(frames: NDArray[np.uint8]) -> list[int]:
    """The number of the colour that each frame has in its middle."""
    middles = frames[:, 24, 32].astype(int)
    distances = np.abs(middles[:, None] - np.array(COLOURS)).sum(-1)
    assert distances.min(1).max() < 12
    return [int(number) for number in distances.argmin(1)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_frame_at_its_time(suffix: str, decoder: Decoder, tmp_path: Path) -> None:
    path = write_animation(tmp_path / f"animation.{suffix}")
    whole = decoder.decode(path, None, None, 4)
    assert whole.frames.shape == (4, 48, 64, 3) and colours(whole.frames) == [0, 1, 2, 3]
    assert whole.seconds == pytest.approx(1.0)
    assert colours(decoder.decode(path, 0.15, 0.65, 4).frames) == [1, 2, 2, 2]
    assert colours(decoder.decode(path, 0.9, None, 2).frames) == [3, 3]
    with pytest.raises(ClipError, match="no frame between"):
        decoder.decode(path, 1.0, 2.0, 4)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_a_cut_animation_is_truncated(suffix: str, decoder: Decoder, tmp_path: Path) -> None:
    """Decoders would show the frames that are left."""
    whole = write_animation(tmp_path / f"whole.{suffix}")
    path = cut(tmp_path / f"cut.{suffix}", whole, 0.8)
    with pytest.raises(ClipError) as error:
        decoder.decode(path, None, None, 4)
    assert error.value.reason == "truncated"


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_transparent_parts_are_white(suffix: str, decoder: Decoder, tmp_path: Path) -> None:
    """As on a page; what a file stores under them is not shown."""
    pictures = [Image.new("RGBA", (64, 48), (0, 0, 0, 0)) for _ in range(2)]
    for number, picture in enumerate(pictures):
        ImageDraw.Draw(picture).ellipse((0, 0, 24 + 8 * number, 40), (255, 0, 0, 255))
    path = tmp_path / f"animation.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    frames = decoder.decode(path, None, None, 2).frames
    assert (frames[:, :, 40:] > 250).all()
    assert [int((frame[20] == (255, 0, 0)).all(-1).sum()) for frame in frames] == [25, 33]


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_what_no_frame_covers_is_white(suffix: str, decoder: Decoder, tmp_path: Path) -> None:
    """libwebp stores the opaque rectangle alone, and no transparency."""
    pictures = [Image.new("RGBA", (64, 48), (0, 0, 0, 0)) for _ in range(2)]
    for number, picture in enumerate(pictures):
        picture.paste((255, 0, 0, 255), (0, 0, 8 + 8 * number, 48))
    path = tmp_path / f"animation.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    frames = decoder.decode(path, None, None, 2).frames
    assert (frames[0, :, 8:] == 255).all() and (frames[1, :, :16] == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_frames_without_a_time_are_shown_for_a_tenth_of_a_second(
    suffix: str, decoder: Decoder, tmp_path: Path
) -> None:
    """As browsers do."""
    pictures = [Image.new("RGB", (64, 48), colour) for colour in COLOURS]
    path = tmp_path / f"animation.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=0)
    assert decoder.decode(path, None, None, 4).seconds == pytest.approx(0.4)


def test_a_damaged_webp_ends_with_a_reason(decoder: Decoder, tmp_path: Path) -> None:
    path = write_animation(tmp_path / "animation.webp")
    body = bytearray(path.read_bytes())
    at = body.index(b"VP8 ", body.index(b"ANMF") + 40) + 8
    body[at : at + 12] = bytes(12)
    path.write_bytes(body)
    with pytest.raises(ClipError) as error:
        decoder.decode(path, None, None, 4)
    assert error.value.reason == "decode_error"

"""When a player shows each sampled frame: by the number that the frame carries.

The times are those of the files' own clocks, which Chromium's ``currentTime`` follows.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.numbered import number_in, picture, with_edit_list, write_numbered, write_timed
from PIL import Image
from structalign.extract.video.decoder import Decoder

STEADY = [n / 25 for n in range(50)]
UNEVEN = [0.04 * n if n < 25 else n - 24.0 for n in range(30)]  # 25 in the first second of six
Write = Callable[[Path], Path]


def late(times: list[float], seconds: float = 2.0) -> list[float]:
    return [time + seconds for time in times]


FILES: dict[str, tuple[list[float], Write]] = {
    "variable.mp4": (UNEVEN, lambda path: write_timed(path, UNEVEN)),
    "variable.webm": (UNEVEN, lambda path: write_timed(path, UNEVEN, "libvpx")),
    "long-sound.mp4": (STEADY, lambda path: write_timed(path, STEADY, sound=(0, 5))),
    "late.mp4": (late(STEADY), lambda path: write_timed(path, late(STEADY), sound=(0, 5))),
    "silent-late.mp4": (late(STEADY), lambda path: write_timed(path, late(STEADY))),
    "late.mkv": (late(STEADY), lambda path: write_timed(path, late(STEADY), sound=(0, 5))),
    "late.webm": (
        late(UNEVEN),
        lambda path: write_timed(path, late(UNEVEN), "libvpx", (1, 5), "libopus"),
    ),
    "live.webm": (STEADY, lambda path: write_timed(path, STEADY, "libvpx", live="1")),
    "fragments.mp4": (
        STEADY,
        lambda path: write_timed(path, STEADY, movflags="frag_keyframe+empty_moov"),
    ),
    # The clock of a transport stream begins anywhere; players begin at 0.
    "first.ts": (STEADY, lambda path: write_timed(path, STEADY)),
    "late.ts": (late(STEADY), lambda path: write_timed(path, late(STEADY), sound=(0, 5))),
    "film.avi": (STEADY, lambda path: write_timed(path, STEADY, "mpeg4")),
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(60) as decoder:
        yield decoder


@pytest.mark.parametrize("name", FILES)
def test_every_frame_comes_with_the_time_at_which_it_is_shown(
    name: str, decoder: Decoder, tmp_path: Path
) -> None:
    times, write = FILES[name]
    decoded = decoder.decode(write(tmp_path / name), None, None, 6)
    shown = [times[number_in(frame)] for frame in decoded.frames]
    off = 0.03 if name.endswith(".ts") else 0.0011  # the AAC encoder's silence comes first
    assert decoded.times.frames == pytest.approx(shown, abs=off)
    assert decoded.times.begin == pytest.approx(times[0], abs=off)
    assert times[-1] < decoded.times.end <= 2 * times[-1] - times[-2] + off


def test_only_the_part_that_an_edit_list_shows_counts(decoder: Decoder, tmp_path: Path) -> None:
    whole = write_numbered(tmp_path / "whole.mp4", bframes=2)
    decoded = decoder.decode(with_edit_list(tmp_path / "part.mp4", whole, 0.4, 1), None, None, 4)
    shown = [(number_in(frame) - 10) / 25 for frame in decoded.frames]
    assert decoded.times.frames == pytest.approx(shown, abs=0.0011)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_too(kind: str, decoder: Decoder, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.asarray(picture(number))) for number in range(6)]
    gaps = [100, 100, 400, 100, 100, 100]
    path = tmp_path / f"film.{kind.lower()}"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=gaps)
    decoded = decoder.decode(path, None, None, 3)
    starts = [sum(gaps[:n]) / 1000 for n in range(6)]
    shown = [starts[number_in(frame)] for frame in decoded.frames]
    assert decoded.times.frames == pytest.approx(shown, abs=0.0011)

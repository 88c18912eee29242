"""The frames that were asked for, in every container, codec and order: against PyAV's, in order.

Each video is decoded from its start, frame by frame; each frame carries its number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.numbered import number_in, with_edit_list, write_numbered
from structalign.extract.video.decoder import Decoder
from structalign.extract.video.errors import ClipError
from structalign.extract.video.frame_index import read_index
from structalign.extract.video.sampling import sample_frames

CODECS = {
    "mp4": ("libx264", "libx265", "mpeg4", "mpeg2video", "libvpx-vp9", "libsvtav1"),
    "mkv": ("libx264", "libx265", "mpeg4", "libvpx"),
    "webm": ("libvpx-vp9", "libvpx"),
    "ts": ("libx264", "libx265", "mpeg2video"),
    "avi": ("libx264", "mpeg4"),
    "mpg": ("mpeg1video", "mpeg2video"),
    "wmv": ("wmv1", "wmv2"),
    "flv": ("flv", "libx264"),
}
REORDERING = ("libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video")
OPEN_GOPS = ("libx264", "libx265", "mpeg2video", "mpeg1video")
ANY_TIMES = {"mp4", "mkv", "webm", "ts"}  # the others have a frame rate
WINDOWS = [(None, None), (0.5, 1.5), (0.33, 2.21), (1.0, 1.24), (2.0, None), (None, 0.7), (1.9, 99)]


@dataclass(frozen=True)
class Kind:
    """How a video is written."""

    container: str
    codec: str
    gop: int = 12
    bframes: int = 0
    open_gop: bool = False
    variable: bool = False


def orders(container: str, codec: str, gop: int) -> list[Kind]:
    """Every order in which this codec can store pictures in this container."""
    kinds = []
    for bframes, open_gop, variable in product((0, 2), (False, True), (False, True)):
        possible = (
            (not bframes or codec in REORDERING)
            and (not open_gop or (bframes and codec in OPEN_GOPS))
            and (not variable or (container in ANY_TIMES and not codec.startswith("mpeg")))
        )
        if possible:
            kinds.append(Kind(container, codec, gop, bframes, open_gop, variable))
    return kinds


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(60) as decoder:
        yield decoder


def write(folder: Path, kind: Kind) -> Path:
    path = folder / f"{abs(hash(kind))}.{kind.container}"
    order = (kind.gop, kind.bframes, kind.open_gop, kind.variable)
    return write_numbered(path, kind.codec, 60, *order)


def every_frame(path: Path) -> tuple[np.ndarray, list[float]]:
    """All frames in the order of decoding, and their times from 0."""
    with av.open(str(path)) as container:
        rate = container.streams.video[0].guessed_rate
        frames = list(container.decode(video=0))
    stamps = [frame.pts * frame.time_base for frame in frames]
    if sorted(stamps) != stamps:  # AVI stores no times, an MPEG program stream not all
        assert path.suffix in (".avi", ".mpg") and rate
        stamps = [n / rate for n in range(len(frames))]
    times = [float(stamp - stamps[0]) for stamp in stamps]
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return pictures, times


def check(decoder: Decoder, path: Path, label: object) -> None:
    """Every frame alone, all at once, and every window are those of the whole decoding."""
    truth, times = every_frame(path)
    length = times[-1] + read_index(path).last
    for start, end in WINDOWS:
        first = 0 if start is None else max(i for i, t in enumerate(times) if t <= start)
        past = end is None or end >= length
        behind = len(times) if past else max(i for i, t in enumerate(times) if t <= (end or 0))
        for count in (1, 5, 80):
            if behind <= first or (start or 0) >= length:
                with pytest.raises(ClipError, match="no frame between"):
                    decoder.decode(path, start, end, count)
                continue
            wanted = sample_frames(first, behind, count)
            frames = decoder.decode(path, start, end, count).frames
            assert np.array_equal(frames, truth[wanted]), (label, start, end, count)
        if (start or 0) < length:
            begin, until = start or 0, min(end or length, length)
            middles = [begin + (until - begin) * part for part in (0.1, 0.3, 0.5, 0.7, 0.9)]
            wanted = [max(i for i, t in enumerate(times) if t < m - 1e-6) for m in middles]
            frames = decoder.decode(path, start, end, 5, by_time=True).frames
            assert np.array_equal(frames, truth[wanted]), (label, start, end, "by time")


PAIRS = [(container, codec) for container, codecs in CODECS.items() for codec in codecs]


@pytest.mark.parametrize(
    ("container", "codec", "gop"),
    [(*pair, 5) for pair in PAIRS]
    + [pytest.param("mp4", codec, 24, marks=pytest.mark.slow) for codec in CODECS["mp4"]]
    + [pytest.param("ts", codec, 24, marks=pytest.mark.slow) for codec in CODECS["ts"]],
)
def test_every_frame(
    container: str, codec: str, gop: int, decoder: Decoder, tmp_path: Path
) -> None:
    for kind in orders(container, codec, gop):
        check(decoder, write(tmp_path, kind), kind)


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("first", [0.0, 0.2, 0.6, 0.64])
def test_edit_lists(bframes: int, first: float, decoder: Decoder, tmp_path: Path) -> None:
    """An edit list shows a part: its first frame is at 0 s, what lies before is not counted."""
    for open_gop in {False, bframes > 0}:
        source = write(tmp_path, Kind("mp4", "libx264", 12, bframes, open_gop))
        path = with_edit_list(tmp_path / "edited.mp4", source, first, 1.0)
        numbers = [number_in(picture) for picture in every_frame(path)[0]]
        assert numbers == list(range(round(first * 25), round(first * 25) + len(numbers)))
        assert 24 <= len(numbers) <= 26
        check(decoder, path, (first, open_gop))


def test_numbers_are_those_drawn(decoder: Decoder, tmp_path: Path) -> None:
    """PyAV's order is the order in which the frames were drawn."""
    for container, codec in PAIRS:
        kind = Kind(container, codec)
        bframes = 2 if codec in REORDERING else 0
        path = write(tmp_path, replace(kind, bframes=bframes, open_gop=codec in OPEN_GOPS))
        if codec != "libsvtav1":  # too lossy to read the numbers
            numbers = [number_in(frame) for frame in decoder.decode(path, None, None, 60).frames]
            assert numbers == list(range(60)), kind


def test_who_decodes(tmp_path: Path) -> None:
    """decord where the index proves it right, PyAV by seeking or from the start elsewhere."""

    def way(kind: Kind) -> str:
        index = read_index(write(tmp_path, kind))
        return "decord" if index.decord else "seeking" if index.seekable else "start"

    assert way(Kind("mp4", "libx264", bframes=2)) == "decord"
    assert way(Kind("mkv", "libx264", variable=True)) == "decord"
    assert way(Kind("webm", "libvpx-vp9")) == "decord"
    assert way(Kind("mp4", "libx264", bframes=2, open_gop=True)) == "seeking"
    assert way(Kind("mp4", "libx265")) == "seeking"
    assert way(Kind("ts", "mpeg2video", bframes=2)) == "seeking"
    assert way(Kind("avi", "libx264")) == "start"
    assert way(Kind("mpg", "mpeg2video")) == "start"
    source = write(tmp_path, Kind("mp4", "libx264"))
    edited = read_index(with_edit_list(tmp_path / "edited.mp4", source, 0.6, 1.0))
    assert edited.seekable and not edited.decord

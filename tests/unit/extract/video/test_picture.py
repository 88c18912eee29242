"""Pictures are those that a player shows: upright, square pixels, one size, the right stream."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from helpers import corpus
from numpy.typing import NDArray
from PIL import Image
from structalign.extract.video.decoder import Decoder
from structalign.extract.video.errors import ClipError
from structalign.extract.video.frame_index import read_index
from structalign.extract.video.pyav_frames import frames_by_seeking, frames_from_start

Pictures = NDArray[np.uint8]  # [frames, height, width, 3]

# By EXIF's number: the display matrix (a, b, c, d), and what it does to pictures.
ORIENTATIONS: dict[int, tuple[tuple[int, int, int, int], Callable[[Pictures], Pictures]]] = {
    1: ((1, 0, 0, 1), lambda p: p),
    2: ((-1, 0, 0, 1), lambda p: p[:, :, ::-1]),
    3: ((-1, 0, 0, -1), lambda p: p[:, ::-1, ::-1]),
    4: ((1, 0, 0, -1), lambda p: p[:, ::-1]),
    5: ((0, 1, 1, 0), lambda p: p.transpose(0, 2, 1, 3)),
    6: ((0, 1, -1, 0), lambda p: np.rot90(p, -1, (1, 2))),
    7: ((0, -1, -1, 0), lambda p: p[:, ::-1, ::-1].transpose(0, 2, 1, 3)),
    8: ((0, -1, 1, 0), lambda p: np.rot90(p, 1, (1, 2))),
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(60) as decoder:
        yield decoder


def quadrants(width: int = 128, height: int = 96, shift: int = 0) -> Pictures:
    """A picture, uint8 [height, width, 3]: red, green, blue, white, clockwise but for the last."""
    picture = np.full((height, width, 3), 255 - shift, np.uint8)
    picture[: height // 2, : width // 2] = (250 - shift, 0, 0)
    picture[: height // 2, width // 2 :] = (0, 250 - shift, 0)
    picture[height // 2 :, : width // 2] = (0, 0, 250 - shift)
    return picture


def difference(pictures: Pictures, truth: Pictures) -> float:
    return float(np.abs(pictures.astype(int) - truth).mean())


@pytest.mark.parametrize("exif", ORIENTATIONS)
def test_every_orientation_of_a_video(exif: int, decoder: Decoder, tmp_path: Path) -> None:
    """A mirror has no angle: the matrix decides, whoever decodes."""
    matrix, turn = ORIENTATIONS[exif]
    plain = corpus.write(tmp_path / "plain.mp4", frames=12)
    path = corpus.turned(tmp_path / "turned.mp4", plain, *matrix)
    truth = turn(decoder.decode(plain, None, None, 12).frames)
    assert np.array_equal(decoder.decode(path, None, None, 12).frames, truth)
    index, numbers = read_index(path), list(range(12))
    by_seeking = frames_by_seeking(path, index, numbers)
    assert by_seeking is not None and np.array_equal(np.stack(by_seeking), truth)
    from_start, *_ = frames_from_start(path, numbers, index.shown)
    assert np.array_equal(np.stack([from_start[number] for number in numbers]), truth)


@pytest.mark.parametrize("exif", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_every_orientation_of_a_photo(
    exif: int, suffix: str, decoder: Decoder, tmp_path: Path
) -> None:
    path, tags = tmp_path / f"photo.{suffix}", Image.Exif()
    tags[0x0112] = exif
    Image.fromarray(quadrants()).save(path, exif=tags, quality=95)
    _, turn = ORIENTATIONS[exif]
    truth = turn(quadrants()[None])
    frames = decoder.decode(path, None, None, 1).frames
    assert frames.shape == truth.shape and difference(frames, truth) < 4


def write_streams(path: Path, *streams: Pictures, default: int = -1, **settings: object) -> Path:
    """A file with H.264 or MPEG-4 streams of pictures; the one at ``default`` is marked so."""
    codec = "mpeg4" if path.suffix == ".avi" else "libx264"
    with av.open(str(path), "w") as output:
        made = [output.add_stream(codec, rate=25) for _ in streams]
        for number, (stream, pictures) in enumerate(zip(made, streams, strict=True)):
            stream.height, stream.width = pictures.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.disposition = Disposition(number == default)
            for name, value in settings.items():
                setattr(stream.codec_context, name, value)
        for stream, pictures in zip(made, streams, strict=True):
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(2, 3)])
def test_pixels_that_are_not_square(
    suffix: str, aspect: Fraction, decoder: Decoder, tmp_path: Path
) -> None:
    """The shown width is the coded width times the aspect."""
    pictures = np.stack([quadrants(96, 64)] * 5)
    path = write_streams(tmp_path / f"film.{suffix}", pictures, sample_aspect_ratio=aspect)
    width = round(96 * aspect)
    frames = decoder.decode(path, None, None, 5).frames
    assert frames.shape == (5, 64, width, 3)
    assert difference(frames, quadrants(width, 64)[None]) < 8


def test_a_turned_video_is_stretched_along_its_own_width(decoder: Decoder, tmp_path: Path) -> None:
    pictures = np.stack([quadrants(80, 120)] * 5)
    plain = write_streams(tmp_path / "film.mp4", pictures, sample_aspect_ratio=Fraction(2))
    path = corpus.turned(tmp_path / "turned.mp4", plain, *ORIENTATIONS[6][0])
    truth = ORIENTATIONS[6][1](quadrants(160, 120)[None])
    frames = decoder.decode(path, None, None, 5).frames
    assert frames.shape == (5, 160, 120, 3) and difference(frames, truth) < 8


def test_a_photos_resolution_is_no_aspect(decoder: Decoder, tmp_path: Path) -> None:
    """Browsers ignore it, though FFmpeg reads an aspect out of it."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(quadrants()).save(path, dpi=(72, 36))
    assert decoder.decode(path, None, None, 1).frames.shape == (1, 96, 128, 3)


@pytest.mark.parametrize("second", [(32, 24), (128, 96)])
def test_a_photo_is_its_first_picture(
    second: tuple[int, int], decoder: Decoder, tmp_path: Path
) -> None:
    """Phones append a gain map for HDR screens, or a preview."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(quadrants()).save(path, quality=95)
    Image.new("L", second).save(tmp_path / "gain.jpg")
    path.write_bytes(path.read_bytes() + (tmp_path / "gain.jpg").read_bytes())
    frames = decoder.decode(path, None, None, 4).frames
    assert frames.shape == (4, 96, 128, 3) and difference(frames, quadrants()[None]) < 4


def test_an_absurd_aspect_is_too_large(decoder: Decoder, tmp_path: Path) -> None:
    pictures = np.stack([quadrants(512, 512)] * 5)
    path = write_streams(tmp_path / "film.mp4", pictures, sample_aspect_ratio=Fraction(500))
    with pytest.raises(ClipError, match="shown with 131,072,000 pixels") as error:
        decoder.decode(path, None, None, 5)
    assert error.value.reason == "too_large"


def test_a_turn_in_mid_stream_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    """H.264 may turn single pictures; what players make of it differs."""
    source = write_streams(tmp_path / "film.ts", np.stack([quadrants()] * 30), gop_size=10)
    path = tmp_path / "turned.ts"
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        turn = BitStreamFilterContext(
            "h264_metadata=display_orientation=insert:rotate=90", given.streams.video[0]
        )
        for packet in given.demux(video=0):
            late = packet.pts is not None and packet.pts * packet.time_base > 0.6
            for one in turn.filter(packet) if late else [packet]:
                if one.size:
                    one.stream = stream
                    output.mux(one)
    with pytest.raises(ClipError, match="turns on its side in mid-stream"):
        decoder.decode(path, None, None, 30)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("size", [(64, 48), (128, 96), (192, 144)])
def test_the_default_stream_is_decoded(
    suffix: str, size: tuple[int, int], decoder: Decoder, tmp_path: Path
) -> None:
    """Neither the first, nor the largest, which decord takes."""
    other = np.zeros((8, size[1], size[0], 3), np.uint8)
    default = np.stack([quadrants(shift=9 * n) for n in range(8)])
    path = write_streams(tmp_path / f"film.{suffix}", other, default, default=1)
    decoded = decoder.decode(path, None, None, 8)
    assert decoded.frames.shape == default.shape and difference(decoded.frames, default) < 8
    index = read_index(path)
    by_seeking = frames_by_seeking(path, index, range(8))
    from_start, *_ = frames_from_start(path, range(8), index.shown)
    assert by_seeking is not None
    assert np.array_equal(np.stack(by_seeking), decoded.frames)
    assert np.array_equal(np.stack([from_start[n] for n in range(8)]), decoded.frames)


def test_without_a_default_the_first_stream_is_decoded(decoder: Decoder, tmp_path: Path) -> None:
    first = np.stack([quadrants(64, 48)] * 8)
    second = np.zeros((8, 96, 128, 3), np.uint8)
    path = write_streams(tmp_path / "film.ts", first, second)
    frames = decoder.decode(path, None, None, 8).frames
    assert frames.shape == first.shape and difference(frames, first) < 8


@pytest.mark.parametrize("film", [True, False])
def test_a_cover_is_not_decoded(film: bool, decoder: Decoder, tmp_path: Path) -> None:
    """A file with nothing but sound and a cover has no video."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        streams = [(cover, np.zeros((1, 32, 32, 3), np.uint8))]
        if film:
            stream = output.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
            streams.append((stream, np.stack([quadrants()] * 4)))
        for made, pictures in streams:
            for picture in pictures:
                output.mux(made.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(made.encode())
    if film:
        assert decoder.decode(path, None, None, 4).frames.shape == (4, 96, 128, 3)
        return
    with pytest.raises(ClipError, match="its only pictures are a cover") as error:
        decoder.decode(path, None, None, 4)
    assert error.value.reason == "no_video"


def write_changing(path: Path, codec: str, sizes: list[tuple[int, int]], each: int = 10) -> Path:
    """A film whose pictures change size: ``each`` of every size, by an encoder of its own."""
    options = {"bf": "0", "x264-params": "repeat-headers=1:annexb=1"} if codec == "libx264" else {}
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 25)
        for part, (width, height) in enumerate(sizes):
            encoder = av.CodecContext.create(codec, "w")
            assert isinstance(encoder, VideoCodecContext)
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
            encoder.options = options
            packets = []
            for number in range(part * each, (part + 1) * each):
                picture = quadrants(width, height, 5 * number)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                output.mux(packet)
    return path


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(suffix, "libx264") for suffix in ("mp4", "mkv", "ts")]
    + [(suffix, "libvpx-vp9") for suffix in ("mp4", "webm")]
    + [("webm", "libvpx"), ("ts", "mpeg2video")],
)
def test_pictures_that_change_size_are_scaled_to_the_first(
    suffix: str, codec: str, decoder: Decoder, tmp_path: Path
) -> None:
    """As calls and broadcasts do; also where the clip begins after the change."""
    path = write_changing(tmp_path / f"film.{suffix}", codec, [(160, 96), (80, 64), (96, 160)])
    truth = np.stack([quadrants(160, 96, 5 * number) for number in range(30)])
    frames = decoder.decode(path, None, None, 30).frames
    assert frames.shape == truth.shape and difference(frames, truth) < 10
    late = decoder.decode(path, 0.81, 1.19, 5).frames
    assert late.shape == (5, 96, 160, 3) and difference(late, truth[[20, 22, 24, 26, 28]]) < 12


@pytest.mark.parametrize(("number", "name"), [(16, "PQ"), (18, "HLG"), (1, None)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_high_dynamic_range_is_reported(
    number: int, name: str | None, suffix: str, decoder: Decoder, tmp_path: Path
) -> None:
    """``number`` is the stream's transfer characteristics, as H.273 counts them."""
    pictures = np.stack([quadrants()] * 8)
    path = write_streams(tmp_path / f"film.{suffix}", pictures, color_trc=number)
    assert decoder.decode(path, None, None, 2).hdr == name


def test_dolby_vision_is_a_high_dynamic_range(decoder: Decoder, tmp_path: Path) -> None:
    """Its streams need not name their transfer characteristics."""
    path = corpus.write(tmp_path / "film.mp4", "libx265", 8)
    path.write_bytes(path.read_bytes().replace(b"hev1", b"dvh1"))
    assert decoder.decode(path, None, None, 2).hdr == "Dolby Vision"

"""The frame index of a video: which frames it shows, when, and where decoding can begin.

It comes from the packets, without decoding: display order is the order of their pts, not the
order in which they are stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from .errors import ClipError
from .ffmpeg_log import words_of
from .picture import is_upright, shown_size

# Common formats. Excluded: playlists (hls, dash, concat), which open other files, and texts.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mpegvideo,h264,hevc,"
    "gif,apng,jpeg_pipe,png_pipe,webp_pipe"
)
STILL = ("jpeg_pipe", "png_pipe", "webp_pipe")  # a picture is a video of one frame
PICTURES = ("gif", "apng", *STILL)  # browsers ignore their aspect
FROM_ZERO = ("mov", "matroska")  # whose clock begins with the file; that of others anywhere
SEEKABLE = ("mov", "matroska", "mpegts")  # whose packets all carry a pts to seek to
INDEXED_BY_DECORD = ("mov", "matroska")
ONE_PACKET_A_FRAME = ("h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video", "vp9", "av1", "mjpeg")
# decord misreads or refuses all other codecs in some container.
READ_BY_DECORD = ("h264", "mpeg4", "vp9", "av1", "mjpeg")
JPEG = b"\xff\xd8\xff"
LARGEST_FRAME = 8192 * 4320  # pixels: 8K
NOT_SHOWN = Disposition.attached_pic | Disposition.dependent  # covers; tiles of a larger picture
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics by their number in H.273
DOLBY_VISION = ("dvh1", "dvhe", "dva1", "dvav", "dav1")  # tags of streams with no other colours


@dataclass(frozen=True)
class FrameIndex:
    """The frames that a video shows, in display order.

    Args:
        pts: presentation timestamp of every shown frame, ascending.
        keys: (pts, dts) of every key frame, ascending; decoding may begin there.
        time_base: seconds per unit of pts.
        last: seconds for which the last frame is shown.
        begin: seconds on a player's clock when it shows the first frame.
        seekable: every shown frame has its own packet with a pts; else decode from the start.
        decord: decord, which numbers frames as stored between key frames, numbers them this way,
            and shows them as they are to be shown.
        size: width and height of the first coded picture in pixels.
        shown: width and height at which all pictures are shown, before they are turned upright.
        hdr: PQ, HLG or Dolby Vision if the video has a high dynamic range, else None.
    """

    pts: list[int]
    keys: list[tuple[int, int]]
    time_base: Fraction
    last: float
    begin: float
    seekable: bool
    decord: bool
    size: tuple[int, int]
    shown: tuple[int, int]
    hdr: str | None

    @property
    def times(self) -> list[float]:
        """Display times of all frames in seconds, from 0 at the first one."""
        return [float((pts - self.pts[0]) * self.time_base) for pts in self.pts]

    def key_before(self, pts: int) -> tuple[int, int]:
        """(pts, dts) of the last key frame that is shown at or before ``pts``."""
        return max((key for key in self.keys if key[0] <= pts), default=self.keys[0])


def open_video(path: Path) -> av.container.InputContainer:
    """Open a local video file, but no other file that it names.

    Raises:
        ClipError: ``unreadable``, or ``no_video`` if it has no video stream that is shown.
    """
    allowed = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with av.logging.Capture() as messages:
        try:
            # By its name FFmpeg would open a JPEG as a series of pictures, which reads other files.
            form = "jpeg_pipe" if _begins(path, JPEG) else None
            container = av.open(f"file:{path}", format=form, options=allowed)
        except (av.FFmpegError, ValueError, OSError) as error:
            what = f"not a video of a known format ({words_of(error, messages)})"
            raise ClipError("unreadable", what) from error
    try:
        codec = shown_stream(container).codec_context
    except ClipError:
        container.close()
        raise
    codec.thread_count = 1
    codec.options = {"max_pixels": str(LARGEST_FRAME)}
    return container


def shown_stream(container: av.container.InputContainer) -> VideoStream:
    """The video stream that is shown: the default one, else the first.

    Among equals, one that moves goes before a still picture (AVIF stores one beside a film).

    Raises:
        ClipError: ``no_video`` if there is none besides covers and tiles, ``unreadable`` if its
            codec is not known.
    """
    streams = [s for s in container.streams.video if not s.disposition & NOT_SHOWN]
    if not streams:
        only = "its only pictures are a cover, or tiles of a larger picture"
        none = "the file has no video stream"
        raise ClipError("no_video", only if container.streams.video else none)
    stream = min(streams, key=lambda s: (not s.disposition & Disposition.default, s.frames == 1))
    if not stream.codec_context:
        raise ClipError("unreadable", "its video codec is not known to FFmpeg")
    return stream


def on_clock(pts: int, unit: Fraction, container: av.container.InputContainer) -> float:
    """The seconds on a player's clock at which it shows a frame, since the file begins.

    Sound may begin before the first picture.
    """
    family = container.format.name.split(",")[0]
    began = 0 if family in FROM_ZERO else container.start_time or 0
    return float(pts * unit - Fraction(began, av.time_base))


def packets_of(
    container: av.container.InputContainer, stream: VideoStream
) -> "Iterator[Packet[VideoStream]]":
    """The packets of a stream; of a still picture only the first one, and the end.

    Phones append a second picture to a photo (a gain map, a preview).
    """
    is_still, begun = container.format.name in STILL, False
    for packet in container.demux(stream):
        if not (is_still and begun and packet.size):
            yield packet
        begun = True


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def read_index(path: Path) -> FrameIndex:
    """Index the shown video stream of a file from its packets.

    Raises:
        ClipError: as ``open_video`` does.
    """
    with open_video(path) as container:
        stream = shown_stream(container)
        codec, family = stream.codec_context, container.format.name.split(",")[0]
        aspect = None if family in PICTURES else stream.sample_aspect_ratio
        size, shown = (codec.width, codec.height), shown_size(codec.width, codec.height, aspect)
        # decord takes another one of several streams, stretches nothing, and mistakes mirrors.
        if not (codec.width and codec.height):
            raise ClipError("no_video", "its video stream tells no picture size")
        first = _FirstFrame(
            wanted=family in INDEXED_BY_DECORD
            and codec.codec.canonical_name in READ_BY_DECORD
            and len(container.streams.video) == 1
            and shown == size
        )
        stored: list[tuple[int | None, int, bool, bool, int]] = []
        try:
            for packet in packets_of(container, stream):
                first.decode(packet)
                if packet.size:
                    dts = packet.dts if packet.dts is not None else packet.pts or 0
                    duration = packet.duration or 0
                    keeps = not packet.is_discard
                    stored.append((packet.pts, dts, packet.is_keyframe, keeps, duration))
        except av.FFmpegError as error:
            what = f"its packets cannot be read ({words_of(error)})"
            raise ClipError("unreadable", what) from error
        base = stream.time_base or Fraction(1, 1)
        shown_pts = [pts for pts, _, _, shown, _ in stored if shown]
        pts = sorted(value for value in shown_pts if value is not None)
        keys = [(value, dts) for value, dts, key, _, _ in stored if key and value is not None]
        ordered = len(pts) == len(shown_pts) and all(a < b for a, b in pairwise(pts))
        begins = bool(keys) and bool(pts) and stored[0][2] and min(keys)[0] <= pts[0]
        seekable = (
            ordered
            and begins
            and family in SEEKABLE
            and codec.codec.canonical_name in ONE_PACKET_A_FRAME
        )
        rank_of = {value: rank for rank, value in enumerate(pts)}
        in_stored_order = len(stored) == len(pts) and all(
            rank_of[value] == rank
            for rank, (value, _, key, _, _) in enumerate(stored)
            if key and value is not None
        )
        return FrameIndex(
            pts,
            sorted(keys),
            base,
            _last_duration(pts, {row[0]: row[4] for row in stored}, base, stream),
            on_clock(pts[0], base, container) if pts else 0.0,
            seekable,
            seekable and in_stored_order and first.is_upright,
            size,
            shown,
            "Dolby Vision" if codec.codec_tag in DOLBY_VISION else HDR.get(codec.color_trc),
        )


class _FirstFrame:
    """Decodes packets up to the first frame, which alone tells how a video is turned.

    ``is_upright`` is false if no frame was wanted or none decodes.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self.is_upright = False

    def decode(self, packet: "Packet[VideoStream]") -> None:
        """Decode a packet, unless the first frame is already there."""
        if not self._wanted:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:  # PyAV decodes this file, and says what is wrong with it
            self._wanted = False
            return
        if frames:
            self._wanted, self.is_upright = False, is_upright(frames[0])


def _last_duration(
    pts: list[int], durations: dict[int | None, int], base: Fraction, stream: VideoStream
) -> float:
    """Seconds of the last frame: its packet's duration, the gap before it, or 1 / frame rate."""
    if pts and durations[pts[-1]]:
        return float(durations[pts[-1]] * base)
    if len(pts) > 1:
        return float((pts[-1] - pts[-2]) * base)
    return float(1 / (stream.guessed_rate or 25))

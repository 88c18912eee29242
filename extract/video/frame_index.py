"""The frame index of a video: which frames it shows, when, and where decoding can begin.

It comes from the packets, without decoding: display order is the order of their pts, not the
order in which they are stored.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.video.stream import VideoStream

from .errors import ClipError

# Common formats. Excluded: playlists (hls, dash, concat), which open other files, and texts.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mpegvideo,h264,hevc,"
    "jpeg_pipe,png_pipe,webp_pipe"  # a picture is a video of one frame
)
SEEKABLE = ("mov", "matroska", "mpegts")  # whose packets all carry a pts to seek to
INDEXED_BY_DECORD = ("mov", "matroska")
ONE_PACKET_A_FRAME = ("h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video", "vp9", "av1", "mjpeg")
# decord misreads or refuses all other codecs in some container.
READ_BY_DECORD = ("h264", "mpeg4", "vp9", "av1", "mjpeg")
JPEG = b"\xff\xd8\xff"
LARGEST_FRAME = 8192 * 4320  # pixels: 8K


@dataclass(frozen=True)
class FrameIndex:
    """The frames that a video shows, in display order.

    Args:
        pts: presentation timestamp of every shown frame, ascending.
        keys: (pts, dts) of every key frame, ascending; decoding may begin there.
        time_base: seconds per unit of pts.
        last: seconds for which the last frame is shown.
        seekable: every shown frame has its own packet with a pts; else decode from the start.
        decord: decord, which numbers frames as stored between key frames, numbers them this way.
        size: width and height of the coded pictures in pixels.
    """

    pts: list[int]
    keys: list[tuple[int, int]]
    time_base: Fraction
    last: float
    seekable: bool
    decord: bool
    size: tuple[int, int]

    @property
    def times(self) -> list[float]:
        """Display times of all frames in seconds, from 0 at the first one."""
        return [float((pts - self.pts[0]) * self.time_base) for pts in self.pts]

    @property
    def seconds(self) -> float:
        """The length of the video in seconds; it must have a frame."""
        return self.times[-1] + self.last

    def key_before(self, pts: int) -> tuple[int, int]:
        """(pts, dts) of the last key frame that is shown at or before ``pts``."""
        return max((key for key in self.keys if key[0] <= pts), default=self.keys[0])


def open_video(path: Path) -> av.container.InputContainer:
    """Open a local video file, but no other file that it names.

    Raises:
        ClipError: ``unreadable``, or ``no_video`` if it has no video stream.
    """
    allowed = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        # By its name FFmpeg would open a JPEG as a series of pictures, which reads other files.
        form = "jpeg_pipe" if _begins(path, JPEG) else None
        container = av.open(f"file:{path}", format=form, options=allowed)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise ClipError("unreadable", f"not a video of a known format ({error})"[:200]) from error
    if not container.streams.video:
        container.close()
        raise ClipError("no_video", "the file has no video stream")
    codec = container.streams.video[0].codec_context
    codec.thread_count = 1
    codec.options = {"max_pixels": str(LARGEST_FRAME)}
    return container


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def read_index(path: Path) -> FrameIndex:
    """Index the first video stream of a file from its packets.

    Raises:
        ClipError: as ``open_video`` does.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        stored: list[tuple[int | None, int, bool, bool, int]] = []
        try:
            for packet in container.demux(stream):
                if packet.size:
                    dts = packet.dts if packet.dts is not None else packet.pts or 0
                    duration = packet.duration or 0
                    shown = not packet.is_discard
                    stored.append((packet.pts, dts, packet.is_keyframe, shown, duration))
        except av.FFmpegError as error:
            raise ClipError("unreadable", f"its packets cannot be read ({error})"[:200]) from error
        codec, family = stream.codec_context, container.format.name.split(",")[0]
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
            seekable,
            seekable and in_stored_order
            and family in INDEXED_BY_DECORD and codec.codec.canonical_name in READ_BY_DECORD,
            (codec.width, codec.height),
        )  # fmt: skip


def _last_duration(
    pts: list[int], durations: dict[int | None, int], base: Fraction, stream: VideoStream
) -> float:
    """Seconds of the last frame: its packet's duration, the gap before it, or 1 / frame rate."""
    if pts and durations[pts[-1]]:
        return float(durations[pts[-1]] * base)
    if len(pts) > 1:
        return float((pts[-1] - pts[-2]) * base)
    return float(1 / (stream.guessed_rate or 25))

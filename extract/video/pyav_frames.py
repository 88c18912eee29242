"""Frames by PyAV: from the key frame before each, or from the start of the file."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .errors import ClipError
from .ffmpeg_log import first_complaint, words_of
from .frame_index import FrameIndex, on_clock, open_video, packets_of, shown_stream
from .picture import Picture, to_picture


def frames_by_seeking(path: Path, index: FrameIndex, wanted: Sequence[int]) -> list[Picture] | None:
    """Decode frames by their display numbers, seeking to the key frames before them.

    None if the decoder shows other frames than the index between a key frame and the last frame
    wanted after it.
    """
    groups: dict[tuple[int, int], set[int]] = {}
    for number in wanted:
        groups.setdefault(index.key_before(index.pts[number]), set()).add(number)
    frames: dict[int, Picture] = {}
    with open_video(path) as container:
        for key, numbers in groups.items():
            if not _decode_group(container, index, key, numbers, frames):
                return None
    return [frames[number] for number in wanted]


def _decode_group(
    container: InputContainer,
    index: FrameIndex,
    key: tuple[int, int],
    numbers: set[int],
    frames: dict[int, Picture],
) -> bool:
    stream = shown_stream(container)
    container.seek(key[1], stream=stream, backward=True)
    number = bisect_left(index.pts, key[0])
    for frame in _decoded(_packets_from(container, key[0])):
        if number < len(index.pts) and frame.pts == index.pts[number]:
            if number in numbers:
                frames[number] = to_picture(frame, index.shown)
            if number == max(numbers):
                return True
            number += 1
        else:
            return False
    return False


def _packets_from(container: InputContainer, key: int) -> "Iterator[Packet[VideoStream]]":
    """Packets from a key frame on, except those of pictures that are shown before it.

    Such pictures may depend on frames before the key frame, which are not decoded.
    """
    begun = False
    for packet in container.demux(shown_stream(container)):
        begun = begun or packet.pts == key
        if begun and (packet.pts is None or packet.pts >= key):
            yield packet


def frames_from_start(
    path: Path, wanted: Sequence[int], size: tuple[int, int]
) -> tuple[dict[int, Picture], list[float], float, float]:
    """Decode a whole file.

    Args:
        path: the file.
        wanted: display numbers.
        size: width and height at which frames are shown, before they are turned upright.

    Returns:
        The wanted frames by display number; display times of all frames in seconds, from 0 at the
        first one and by the frame rate if the file has no times; seconds of the last frame; when
        a player shows the first frame, in seconds.
    """
    frames: dict[int, Picture] = {}
    stamps: list[int | None] = []
    duration = 0
    with open_video(path) as container:
        stream = shown_stream(container)
        unit, gap = stream.time_base or Fraction(1), 1 / Fraction(stream.guessed_rate or 25)
        for number, frame in enumerate(_decoded(packets_of(container, stream))):
            stamps.append(frame.pts)
            duration = frame.duration or 0
            if number in wanted:
                frames[number] = to_picture(frame, size)
        begin = on_clock(stamps[0], unit, container) if stamps and stamps[0] is not None else 0.0
    pts = [stamp for stamp in stamps if stamp is not None]
    if len(pts) < len(stamps) or any(b <= a for a, b in pairwise(pts)):
        unit, pts, duration, begin = gap, list(range(len(stamps))), 1, 0.0
    last = duration * unit or gap
    return frames, [float((stamp - pts[0]) * unit) for stamp in pts], float(last), begin


def _decoded(packets: "Iterable[Packet[VideoStream]]") -> Iterator[VideoFrame]:
    """Decode packets to frames in display order.

    Raises:
        ClipError: at the first sign of damage.
    """
    with av.logging.Capture() as messages:
        try:
            for frame in (frame for packet in packets for frame in packet.decode()):
                complaint = first_complaint(message for _, _, message in messages)
                if frame.is_corrupt or complaint:
                    what = complaint or "a corrupt frame"
                    raise ClipError("substituted_frames", f"the decoder hid damage: {what}")
                yield frame
        except av.FFmpegError as error:
            raise ClipError("decode_error", words_of(error, messages)) from error

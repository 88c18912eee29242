"""A decoded frame as a player shows it: square pixels, upright, one size for the whole video."""

import struct
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from numpy.typing import NDArray

LARGEST_SIDE = 1080  # pixels of the shorter side; larger frames are scaled down
NOT_KNOWN = range(28, 40)  # side data that FFmpeg has and PyAV 18 does not: EXIF is 31

Picture = NDArray[np.uint8]


def shown_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """The (width, height) at which coded pictures are shown, before they are turned upright.

    The width is stretched by ``aspect``, a pixel's width over its height; then both are scaled
    down until the shorter one has at most LARGEST_SIDE pixels.
    """
    stretched = width * float(aspect or 1)
    scale = min(1.0, LARGEST_SIDE / min(stretched, height)) if width and height else 1.0
    return max(1, round(stretched * scale)), max(1, round(height * scale))


def to_picture(frame: VideoFrame, size: tuple[int, int]) -> Picture:
    """Scale a frame to ``size`` (width, height), then turn it upright.

    Returns:
        uint8 [height, width, 3], RGB; the axes change places if the frame is turned on its side.
    """
    across, down, is_transposed = orientation(frame)
    if (frame.width, frame.height) != size:
        frame = frame.reformat(*size, "rgb24", interpolation="AREA")
    pixels = frame.to_ndarray(format="rgb24")
    if is_transposed:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[::down, ::across])


def is_upright(frame: VideoFrame) -> bool:
    """Whether a frame is shown as it is stored, neither turned nor mirrored."""
    return orientation(frame) == (1, 1, False)


def orientation(frame: VideoFrame) -> tuple[int, int, bool]:
    """How a frame is turned upright, by its display matrix or its EXIF orientation.

    (``frame.rotation`` is an angle, and no angle describes a mirror.) An angle between quarter
    turns counts as the nearest one.

    Returns:
        Steps (1 or -1) along the columns and the rows of the picture, after its axes have changed
        places if the third value is true.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return 1, 1, False
    # A stored pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, c, d = matrix
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if is_transposed else (a, d)
    return (-1 if across < 0 else 1), (-1 if down < 0 else 1), is_transposed


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # for one kind that it does not know, PyAV gives no side data at all
        data = _with_known_data(frame).side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return None
    a, b, _, c, d = struct.unpack_from("=5i", data)
    return a, b, c, d


def _with_known_data(frame: VideoFrame) -> VideoFrame:
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    removals = [graph.add("sidedata", f"mode=delete:type={number}") for number in NOT_KNOWN]
    for following in (*removals, graph.add("buffersink")):
        last.link_to(following)
        last = following
    graph.configure()
    graph.push(frame)
    result = graph.pull()
    assert isinstance(result, VideoFrame)
    return result

"""Videos whose frames carry their number, in containers, codecs and orders that people have."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, BITS, BLOCK = 128, 96, 8, 16
X264, X265 = (
    {"threads": "1", "sc_threshold": "0"},
    {"x265-params": "log-level=none:pools=none:frame-threads=1:wpp=0"},
)


def picture(number: int) -> NDArray[np.uint8]:
    """A frame with its number as eight black or white blocks, over a gradient that moves."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.stack([(x + 3 * number) % 256, (y * 2) % 256, np.full_like(x, 90)], -1)
    for bit in range(BITS):
        frame[40:72, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return frame.astype(np.uint8)


def number_in(frame: NDArray[np.uint8]) -> int:
    """The number that a decoded frame carries."""
    rows = frame[46:66].mean(axis=(0, 2))
    middles = [rows[bit * BLOCK + 4 : (bit + 1) * BLOCK - 4].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, value in enumerate(middles) if value > 127)


def options(codec: str, gop: int, bframes: int, open_gop: bool) -> dict[str, str]:
    """Encoder options for groups of ``gop`` pictures."""
    order = {"g": str(gop), "bf": str(bframes)}
    if codec == "libx264":
        return {**X264, **order, "x264-params": f"open-gop={int(open_gop)}:keyint={gop}"}
    if codec == "libx265":
        parts = f"keyint={gop}:min-keyint={gop}:bframes={bframes}:open-gop={int(open_gop)}"
        return {"x265-params": f"{X265['x265-params']}:scenecut=0:{parts}"}
    if codec.startswith("mpeg"):
        closed = {} if open_gop else {"flags": "+cgop", "sc_threshold": "1000000000"}
        return {**order, **closed, "q": "2"}
    if codec.startswith("libvpx"):
        return {"g": str(gop), "lag-in-frames": "16", "auto-alt-ref": "1", "cpu-used": "8"}
    if codec == "libsvtav1":
        return {"g": str(gop), "preset": "12", "svtav1-params": "lp=1"}
    return {"g": str(gop)}


def write_numbered(
    path: Path,
    codec: str = "libx264",
    frames: int = 60,
    gop: int = 12,
    bframes: int = 0,
    open_gop: bool = False,
    variable: bool = False,
) -> Path:
    """``frames`` numbered frames at 25 per second, or with gaps of 20 to 180 ms."""
    gaps = np.random.default_rng(7).integers(1, 10, frames) * 20
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options(codec, gop, bframes, open_gop))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.codec_context.thread_count = 4_000_000, 1
        if codec.startswith("mpeg") or codec.startswith("wmv"):
            stream.codec_context.qmin, stream.codec_context.qmax = 1, 3
        if variable:
            stream.codec_context.time_base = Fraction(1, 1000)
        time = 0
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            if variable:
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                time += int(gaps[number])
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def with_edit_list(path: Path, source: Path, first: float, seconds: float) -> Path:
    """A copy of an mp4 that shows ``seconds`` of its pictures from ``first`` on."""
    body = bytearray(source.read_bytes())
    movie = body.index(b"mvhd")
    scale = struct.unpack(">I", body[movie + 16 : movie + 20])[0]
    media = body.index(b"mdhd")
    rate = struct.unpack(">I", body[media + 16 : media + 20])[0]
    edits = body.index(b"elst")
    before = struct.unpack(">I", body[edits + 16 : edits + 20])[0]
    struct.pack_into(">II", body, edits + 12, int(seconds * scale), before + int(first * rate))
    path.write_bytes(body)
    return path


def write_timed(
    path: Path,
    times: Sequence[float],
    codec: str = "libx264",
    sound: tuple[float, float] | None = None,
    audio: str = "aac",
    **container: str,
) -> Path:
    """Numbered frames at some times in seconds, with sound from one time to another."""
    with av.open(str(path), "w", options=container) as output:
        stream = output.add_stream(codec, rate=25, options=options(codec, 12, 0, False))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.codec_context.thread_count = 4_000_000, 1
        stream.codec_context.time_base = Fraction(1, 1000)
        voice = output.add_stream(audio, rate=48000) if sound else None
        begin, end = sound or (0.0, 0.0)
        samples = range(round(begin * 48000), round(end * 48000), 1024)
        frames: list[tuple[float, int | None]] = [*((t, n) for n, t in enumerate(times))]
        for time, number in sorted([*frames, *((at / 48000, None) for at in samples)], key=first):
            if number is None and isinstance(voice, av.AudioStream):
                tone = np.sin(np.arange(1024) / 20)[None].astype(np.float32) / 8
                heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                heard.pts, heard.time_base = round(time * 48000), Fraction(1, 48000)
                heard.sample_rate = 48000
                output.mux(voice.encode(heard))
            elif number is not None:
                frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
                frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
                output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if isinstance(voice, av.AudioStream):
            output.mux(voice.encode())
    return path


def first(pair: tuple[float, int | None]) -> float:
    """The time of a numbered frame, or of sound."""
    return pair[0]

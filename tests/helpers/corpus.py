"""Video files of every kind that people really have.

Odd ones that must work, and bad ones, each with the reason it must end with.
"""

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

SIDE = (128, 96)


def write(
    path: Path,
    codec: str = "libx264",
    frames: int = 60,
    size: tuple[int, int] = SIDE,
    times: list[int] | None = None,
    **container: str,
) -> Path:
    """A moving gradient. ``times``, in milliseconds, makes the frame rate vary."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w", options=container) as output:
        stream = output.add_stream(codec, rate=25, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = (
            width,
            height,
            {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p"),
        )
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for n in range(frames):
            picture = np.stack(
                [(x * 2 + n * 3) % 256, (y * 2 + n * 5) % 256, np.full_like(x, n * 4 % 256)], -1
            ).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[n], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    """An mp4 with sound and no picture."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        for n in range(20):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16000, 1024 * n
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def cut(path: Path, source: Path, share: float) -> Path:
    """The first part of a file."""
    body = source.read_bytes()
    path.write_bytes(body[: int(len(body) * share)])
    return path


def damaged(path: Path, source: Path, length: int, seed: int) -> Path:
    """A file with ``length`` bytes in the middle of its pictures overwritten."""
    body = bytearray(source.read_bytes())
    at = body.index(b"mdat") + (len(body) - body.index(b"mdat")) // 2 + 24
    body[at : at + length] = (
        np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()
    )
    path.write_bytes(body)
    return path


def turned(path: Path, source: Path, a: int, b: int, c: int, d: int) -> Path:
    """The same film, but its track header shows a pixel (x, y) at (a x + c y, b x + d y)."""
    body = bytearray(source.read_bytes())
    at, one = body.index(b"tkhd") + 44, 1 << 16
    matrix = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    body[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(body)
    return path


def good(folder: Path) -> dict[str, Path]:
    """Odd files that must work."""
    mp4 = write(folder / "plain.mp4")
    return {
        "mp4": mp4,
        "faststart": write(folder / "faststart.mp4", movflags="faststart"),
        "fragmented": write(folder / "fragmented.mp4", movflags="frag_keyframe+empty_moov"),
        "mkv": write(folder / "film.mkv"),
        "webm": write(folder / "film.webm", "libvpx-vp9", 20),
        "hevc": write(folder / "hevc.mp4", "libx265", 20),
        "av1": write(folder / "av1.mp4", "libsvtav1", 20),
        "avi": write(folder / "film.avi", "mpeg4", 20),
        "mov": write(folder / "film.mov", "mjpeg", 20),
        "one frame": write(folder / "one.mp4", frames=1),
        "three frames": write(folder / "three.mp4", frames=3),
        "variable rate": write(
            folder / "variable.mp4",
            frames=40,
            times=[20 * n if n < 20 else 400 + 200 * (n - 20) for n in range(40)],
        ),
        "rotated": turned(folder / "rotated.mp4", mp4, 0, 1, -1, 0),
        "very wide": write(folder / "wide.mp4", frames=8, size=(4096, 16)),
        "tiny": write(folder / "tiny.mp4", frames=8, size=(64, 48)),
        "trailing bytes": appended(folder / "trailing.mp4", mp4),
    }


def appended(path: Path, source: Path) -> Path:
    """A whole file with foreign bytes after it."""
    path.write_bytes(source.read_bytes() + b"\x00\x00\x00\x01 and a note")
    return path


CODECS = {  # file: encoder; every family of decoders that people's files need
    "mpeg2.mpg": "mpeg2video", "mpeg2.ts": "mpeg2video", "mpeg4.avi": "mpeg4",
    "divx.avi": "msmpeg4v2", "wmv2.wmv": "wmv2", "h264.ts": "libx264", "h264.flv": "libx264",
    "hevc.mkv": "libx265", "hevc.mp4": "libx265", "prores.mov": "prores_ks", "mjpeg.avi": "mjpeg",
    "vp8.webm": "libvpx", "ffv1.mkv": "ffv1",
}  # fmt: skip


def damaged_codecs(folder: Path, copies: int) -> list[Path]:
    """A film in each codec, and copies of it with some bytes overwritten."""
    files = []
    for name, codec in CODECS.items():
        film = write(folder / name, codec, 20)
        files.append(film)
        for seed in range(copies):
            rng, body = np.random.default_rng(seed), bytearray(film.read_bytes())
            at = int(rng.integers(len(body) // 4, len(body) - 400))
            length = 8 if seed < copies // 2 else 120
            body[at : at + length] = rng.bytes(length)
            files.append(folder / f"damaged{seed}_{name}")
            files[-1].write_bytes(body)
    return files


def bad(folder: Path) -> dict[str, tuple[str, Path]]:
    """Bad files: name to (reason, path)."""
    mp4, mkv, avi = (
        write(folder / "a.mp4"),
        write(folder / "a.mkv"),
        write(folder / "a.avi", "mpeg4"),
    )
    fast = write(folder / "fast.mp4", movflags="faststart")
    made: dict[str, tuple[str, Path]] = {}

    def add(name: str, reason: str, suffix: str, make: Callable[[Path], object]) -> None:
        path = folder / f"{name.replace(' ', '_')}{suffix}"
        make(path)
        made[name] = reason, path

    add("missing", "missing", ".mp4", lambda path: None)
    add("empty", "empty", ".mp4", lambda path: path.touch())
    add("text", "unreadable", ".mp4", lambda path: path.write_text("this is no video\n" * 60))
    add(
        "noise",
        "unreadable",
        ".webm",
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    )
    add("sound alone", "no_video", ".mp4", sound)
    for source in (mp4, fast, mkv, avi):
        for share in (0.3, 0.6, 0.9, 0.995):
            add(
                f"{source.stem}{source.suffix[1:]} cut at {share}",
                "truncated",
                source.suffix,
                partial(cut, source=source, share=share),
            )
    add("damaged a little", "substituted_frames", ".mp4", lambda path: damaged(path, fast, 4, 3))
    add("damaged much", "decode_error", ".mp4", lambda path: damaged(path, fast, 900, 0))
    add("a pipe", "timeout", ".mp4", os.mkfifo)
    for file in (mp4, mkv, avi, fast):
        file.unlink()
    return made

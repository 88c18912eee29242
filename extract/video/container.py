"""The truncation check: a container's declared length against the length of its file."""

import os
from pathlib import Path
from typing import BinaryIO

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """The number of bytes that an MP4/MOV, Matroska/WebM or AVI file declares beyond its end.

    0 for a whole file and for other formats. Decoders open truncated files without an error and
    return fewer frames.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head.startswith(EBML):
            end = _matroska_end(file, size)
        elif head[:4] == b"RIFF" and head[8:] == b"AVI ":
            end = 8 + int.from_bytes(head[4:8], "little")
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            end = _boxes_end(file, size)
        else:
            return 0
    return max(0, end - size)


def _boxes_end(file: BinaryIO, size: int) -> int:
    """The byte where the last top-level ISO box ends.

    A box has a 32-bit size and a type. Size 1 means that a 64-bit size follows, size 0 that the
    box ends with the file.
    """
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length == 0:
            return size
        if length < 8 or not head[4:8].isascii():
            return at  # not a box: appended data, which players ignore
        at += length
    return at


def _matroska_end(file: BinaryIO, size: int) -> int:
    """The byte where the segment ends; the file's end if its size is unknown (live recordings)."""
    at = 0
    while at < size:
        file.seek(at)
        element = file.read(4)
        length, width = _vint(file.read(8))
        if length is None:
            return size
        at += 4 + width + length
        if element == SEGMENT:
            return at
    return at


def _vint(data: bytes) -> tuple[int | None, int]:
    """Parse an EBML size: (value, bytes used); None if it is unknown (all ones) or not a size."""
    if not data or not data[0]:
        return None, 0
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width

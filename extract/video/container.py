"""The truncation check: a container's declared length against the length of its file."""

import os
from pathlib import Path
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """The number of bytes that a container declares beyond the end of its file.

    Containers are MP4/MOV, Matroska/WebM, AVI, WebP, GIF and PNG.

    0 for a whole file and for other formats. Decoders open truncated files without an error and
    return fewer frames.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head.startswith(EBML):
            end = _matroska_end(file, size)
        elif head[:4] == b"RIFF" and head[8:] in (b"AVI ", b"WEBP"):
            end = 8 + int.from_bytes(head[4:8], "little")
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            end = _boxes_end(file, size)
        elif head[:6] in (b"GIF87a", b"GIF89a"):
            end = _gif_end(file, size)
        elif head.startswith(PNG):
            end = _png_end(file, size)
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


def _png_end(file: BinaryIO, size: int) -> int:
    """The byte where the chunk IEND ends, or the one that the file ends in."""
    at = len(PNG)
    while at < size:
        file.seek(at)
        head = file.read(8)
        at += 12 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND":
            return at
    return at if at > size else size + 12


def _gif_end(file: BinaryIO, size: int) -> int:
    """The byte where the trailer ends, or the block that the file ends in."""
    file.seek(10)
    file.seek(13 + _colours(file.read(1)))
    while file.tell() < size:
        kind = file.read(1)
        if kind == b"!":  # an extension: its label, then sub-blocks
            file.seek(1, os.SEEK_CUR)
        elif kind == b",":  # an image: its place and colours, its code size, then sub-blocks
            file.seek(8, os.SEEK_CUR)
            file.seek(_colours(file.read(1)) + 1, os.SEEK_CUR)
        else:
            return file.tell()  # the trailer, or bytes after a last image without one
        while (length := file.read(1)) != b"\0":
            if not length:
                return size + 1
            file.seek(length[0], os.SEEK_CUR)
    return file.tell()


def _colours(flags: bytes) -> int:
    """The bytes of the colour table that a GIF's flags announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _vint(data: bytes) -> tuple[int | None, int]:
    """Parse an EBML size: (value, bytes used); None if it is unknown (all ones) or not a size."""
    if not data or not data[0]:
        return None, 0
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width

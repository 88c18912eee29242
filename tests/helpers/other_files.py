"""Videos that show the same and are other files: a run takes a clip once, by its content."""

from pathlib import Path

EMPTY_BOX = b"\0\0\0\x08free"


def make_other_files(folder: Path) -> None:
    """Append an empty box to every mp4 file of a folder."""
    for video in folder.glob("*.mp4"):
        video.write_bytes(video.read_bytes() + EMPTY_BOX)

"""An index of a benchmark's files by name, wherever they lie below its root."""

import os
from pathlib import Path
from typing import Any

from ...core.errors import StructAlignError
from ...core.files import parse_json, read_user_text

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm")
CTVR = "CTVR's repository (github.com/JasonCodeMaker/CTVR), folder data"


class FileIndex:
    """All files below ``root`` and ``splits`` by name; paths of videos are relative to ``root``.

    ``splits`` may be a file. Raises StructAlignError if ``root`` is one.
    """

    def __init__(self, root: Path, splits: Path | None = None) -> None:
        if not root.is_dir():
            raise StructAlignError(f"--root {root} is a file; give the folder with the videos")
        self.root = root
        self.folders = [root, splits] if splits else [root]
        self._files: dict[str, Path] = {}
        self._videos: dict[str, str] = {}
        if splits and splits.is_file():
            self._files[splits.name] = splits
        for folder in self.folders:
            for where, folders, names in os.walk(folder, followlinks=True):
                folders.sort()
                for name in sorted(names):
                    self._files.setdefault(name, Path(where) / name)
                    stem, suffix = os.path.splitext(name)
                    if folder == root and suffix.lower() in VIDEO_SUFFIXES:
                        self._videos.setdefault(stem, os.path.relpath(Path(where) / name, root))

    def file(self, name: str, source: str) -> Path:
        """The path of a file.

        Raises StructAlignError: it is in none of the folders; it comes from ``source``.
        """
        if name not in self._files:
            folders = " and ".join(str(folder) for folder in self.folders)
            raise StructAlignError(f"no {name} anywhere under {folders}; it comes from {source}")
        return self._files[name]

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def files_ending(self, *endings: str) -> list[Path]:
        """Files whose names have one of the endings, whatever their case, ordered by ending."""
        files = sorted(self._files.items())
        return [f for end in endings for name, f in files if name.lower().endswith(end.lower())]

    def video(self, stem: str) -> str:
        """Path of a video relative to the root; for a missing one, ``<stem>.mp4``."""
        return self._videos.get(stem, f"{stem}.mp4")

    def json(self, name: str, source: str) -> Any:
        """The content of a JSON file. Raises StructAlignError: it is missing, or not JSON."""
        path = self.file(name, source)
        try:
            return parse_json(read_user_text(path))
        except ValueError as error:
            raise StructAlignError(f"{path} is not JSON: {error}") from error

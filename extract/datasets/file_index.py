"""An index of a benchmark's files, wherever they are below its root."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...core.errors import StructAlignError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm")
CTVR = "CTVR's repository (github.com/JasonCodeMaker/CTVR), folder data"


class FileIndex:
    """All files below some folders, by name; clips' paths are relative to the first."""

    def __init__(self, root: Path, extra_folders: Iterable[Path] = ()) -> None:
        self.root = root
        self.folders = [root, *extra_folders]
        self._files: dict[str, Path] = {}
        self._videos: dict[str, str] = {}
        for folder in self.folders:
            for where, folders, names in os.walk(folder, followlinks=True):
                folders.sort()
                for name in sorted(names):
                    self._files.setdefault(name, Path(where) / name)
                    stem, suffix = os.path.splitext(name)
                    if folder == root and suffix.lower() in VIDEO_SUFFIXES:
                        self._videos.setdefault(stem, os.path.relpath(Path(where) / name, root))

    def file(self, name: str, source: str) -> Path:
        """A file by its name. Raises StructAlignError saying where it was looked for."""
        if name not in self._files:
            places = " and ".join(str(folder) for folder in self.folders)
            raise StructAlignError(f"no {name} anywhere under {places}; it comes from {source}")
        return self._files[name]

    def files_ending(self, *endings: str) -> list[Path]:
        """Files whose names end so, in any letter case, in the order of the endings."""
        files = sorted(self._files.items())
        return [f for end in endings for name, f in files if name.lower().endswith(end.lower())]

    def video(self, stem: str) -> str:
        """Path of a video relative to the root; where it would be if it is missing."""
        return self._videos.get(stem, f"{stem}.mp4")

    def json(self, name: str, source: str) -> Any:
        """A JSON file's content. Raises StructAlignError when it is missing or not JSON."""
        path = self.file(name, source)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, ValueError) as error:
            raise StructAlignError(f"{path} is not JSON: {error}") from error

"""Your own videos: a CSV or JSON Lines file with one row a caption."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ...cache.catalog import Catalog, Clip
from ...cache.runtime.errors import StructAlignError
from .dataset import Dataset

COLUMNS = ("clip_id", "path", "start", "end", "category", "split", "caption")
NAMES = ("manifest.csv", "manifest.jsonl")


def read_manifest(root: Path) -> Dataset:
    """Read ``root`` itself if it is a file, else ``manifest.csv`` or ``manifest.jsonl`` in it.

    Paths are relative to its folder.

    Categories arrive in the order in which the file first names them.

    Raises:
        StructAlignError: no manifest, a column missing, a row that contradicts an earlier one of
            its clip, a path that leaves the root.
    """
    file = (
        root
        if root.is_file()
        else next((root / name for name in NAMES if (root / name).is_file()), None)
    )
    if file is None:
        raise StructAlignError(
            f"no manifest under {root}; looked for {' and '.join(NAMES)}, or pass the file itself "
            "as --root"
        )
    clips: dict[str, Clip] = {}
    for line, row in _rows(file):
        clip = _clip(row, f"{file}, line {line}")
        known = clips.get(clip.id)
        if known is None:
            clips[clip.id] = clip
        else:
            merged = Clip(**{**known.__dict__, "captions": clip.captions})
            if merged != clip:
                raise StructAlignError(
                    f"{file}, line {line}: clip '{clip.id}' differs from its earlier row in more "
                    "than the caption"
                )
            clips[clip.id] = Clip(
                **{**known.__dict__, "captions": (*known.captions, *clip.captions)}
            )
    categories = tuple(dict.fromkeys(clip.category for clip in clips.values()))
    return Dataset(Catalog("manifest", categories, tuple(clips.values())), file.parent)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StructAlignError(f"{file} is not UTF-8 text: {error}") from error
    if file.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise StructAlignError(f"{file}, line {number}: not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise StructAlignError(f"{file}, line {number}: not a JSON object")
                yield (
                    number,
                    {key: "" if value is None else str(value) for key, value in row.items()},
                )
        return
    reader = csv.DictReader(text.splitlines(keepends=True))
    for row in reader:
        yield reader.line_num, {key: value or "" for key, value in row.items() if key is not None}


def _clip(row: dict[str, str], where: str) -> Clip:
    missing = [name for name in COLUMNS if name not in row and name not in ("start", "end")]
    if missing:
        raise StructAlignError(
            f"{where}: no column '{missing[0]}'; a manifest has {', '.join(COLUMNS)}"
        )
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or not row["path"].strip():
        raise StructAlignError(
            f"{where}: path '{row['path']}' must be relative and stay below the manifest's folder"
        )
    split = row["split"].strip()
    if split not in ("train", "test"):
        raise StructAlignError(f"{where}: split is '{split}'; it must be train or test")
    if not row["caption"].strip():
        raise StructAlignError(
            f"{where}: clip '{row['clip_id']}' has an empty caption; fill it in or remove the row"
        )
    start, end = (_seconds(row.get(name, ""), f"{where}: {name}") for name in ("start", "end"))
    return Clip(
        row["clip_id"].strip(),
        str(path),
        row["category"].strip(),
        "train" if split == "train" else "test",
        (row["caption"].strip(),),
        start,
        end,
    )


def _seconds(text: str, where: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise StructAlignError(f"{where} is '{text}'; it must be seconds or empty") from error

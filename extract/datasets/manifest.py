"""Your own videos: a CSV or JSON Lines file with one row per caption."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from ...cache.catalog import Catalog, Clip, Split, composed
from ...core.errors import StructAlignError
from ...core.ranges import option
from .dataset import Dataset, DatasetReader, Inputs
from .registry import dataset_names
from .tables import Rows, csv_rows, json_rows

LABELS = ("category", "split")
COLUMNS = ("clip_id", "path", "start", "end", "category", "split", "caption")
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
NEEDED = ("clip_id", "path", "caption")
NAMES = ("manifest.csv", "manifest.jsonl")


@dataclass(frozen=True)
class Manifest(DatasetReader):
    """Clips from ``manifest.csv`` or ``manifest.jsonl``.

    ``root`` is the folder that paths are relative to, with the manifest in it, or the manifest
    itself, whose folder it is then. ``splits`` is the manifest, or its folder, where it does not
    lie with the videos.
    """

    name: str | None = option(
        None, "Name of a manifest's cache.  [default: that of the manifest's folder]"
    )

    def read(self, inputs: Inputs) -> Dataset:
        """Read the manifest.

        Categories arrive in the order in which rows name them first. Where no row names a
        category, all clips are of one, named after the dataset; where none names a split, all
        clips are for training.

        Raises:
            StructAlignError: no manifest, a missing column, a row of another length than the
                header or with a quote left open, a value that is neither text nor number, a row
                that contradicts an earlier row of its clip, or a path outside the root.
        """
        file = _find(inputs.splits or inputs.videos)
        videos = file.parent if inputs.videos.is_file() else inputs.videos
        dataset = self.name or _name_of(file.parent)
        clips: dict[str, Clip] = {}
        for line, row in _labelled(list(_rows(file)), file, dataset):
            clip = _clip(row, videos, f"{file}, line {line}")
            earlier = clips.get(clip.id)
            if earlier is not None:
                if replace(earlier, captions=clip.captions) != clip:
                    raise StructAlignError(
                        f"{file}, line {line}: clip '{clip.id}' differs from its earlier row in "
                        "more than the caption"
                    )
                clip = replace(clip, captions=(*earlier.captions, *clip.captions))
            clips[clip.id] = clip
        categories = tuple(dict.fromkeys(clip.category for clip in clips.values()))
        spelled = {composed(name): name for name in categories}
        if twice := [name for name in categories if spelled[composed(name)] != name]:
            raise StructAlignError(
                f"{file} spells category '{twice[0]}' with other Unicode characters in some rows "
                "(NFC and NFD); spell it one way"
            )
        return Dataset(Catalog(dataset, categories, tuple(clips.values())), videos)


def _find(given: Path) -> Path:
    candidates = [given] if given.is_file() else [given / name for name in NAMES]
    file = next((path for path in candidates if path.is_file()), None)
    if file is None:
        raise StructAlignError(
            f"no manifest under {given}; looked for {' and '.join(NAMES)}: give the file with "
            "--root, or with --splits if the videos are in another folder, or name a benchmark "
            "with --dataset"
        )
    return file


def _labelled(
    rows: list[tuple[int, dict[str, str]]], file: Path, dataset: str
) -> Iterator[tuple[int, dict[str, str]]]:
    """Give every row a category and a split, also if no row of the manifest has one."""
    given = {label for label in LABELS if any(row.get(label, "").strip() for _, row in rows)}
    defaults = {"category": dataset, "split": "train"}
    for line, row in rows:
        for label in LABELS:
            if label in given and not row.get(label, "").strip():
                raise StructAlignError(
                    f"{file}, line {line}: no {label}; name it in every row or in none"
                )
        yield line, {**row, **{label: defaults[label] for label in LABELS if label not in given}}


def _name_of(folder: Path) -> str:
    """A dataset's name from a folder's: fit for a file name, and not another dataset's."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-.") or "manifest"
    return f"own-{name}" if name in dataset_names() and name != "manifest" else name


def _rows(file: Path) -> Rows:
    if file.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        return json_rows(file, COLUMNS)
    return csv_rows(file, NEEDED, f"a manifest has {', '.join(COLUMNS)}")


def _clip(row: dict[str, str], root: Path, where: str) -> Clip:
    missing = [name for name in NEEDED if name not in row]
    if missing:
        raise StructAlignError(
            f"{where}: no column '{missing[0]}'; a manifest has {', '.join(COLUMNS)}"
        )
    path = PurePosixPath(_as_on_disk(row["path"], root))
    split, caption = row["split"].strip(), row["caption"].strip()
    folder = PurePosixPath(root.resolve().as_posix())
    if path.is_relative_to(folder) and path != folder:
        path = path.relative_to(folder)
    if path.is_absolute() or ".." in path.parts or not row["path"].strip():
        raise StructAlignError(
            f"{where}: path '{row['path']}' must lie below {root}; if the videos are elsewhere, "
            "give their folder with --root and the manifest with --splits"
        )
    if split not in ("train", "test"):
        raise StructAlignError(f"{where}: split is '{split}'; it must be train or test")
    if not caption:
        raise StructAlignError(
            f"{where}: clip '{row['clip_id']}' has an empty caption; fill it in or remove the row"
        )
    start, end = (_seconds(row.get(name, ""), f"{where}: {name}") for name in ("start", "end"))
    kind: Split = "train" if split == "train" else "test"
    name, category = composed(row["clip_id"].strip()), row["category"].strip()
    return Clip(name, str(path), category, kind, (caption,), start, end)


def _as_on_disk(path: str, root: Path) -> str:
    """A path as the file system spells it: macOS writes é with two characters."""
    forms = () if path.isascii() else FORMS
    spelled = [path, *(unicodedata.normalize(form, path) for form in forms)]
    return next((name for name in spelled if forms and (root / name).exists()), path)


def _seconds(text: str, where: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise StructAlignError(f"{where} is '{text}'; it must be seconds or empty") from error

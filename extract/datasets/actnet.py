"""ActivityNet Captions as CTVR defines it: 200 classes of 16 training clips, 4,910 test clips.

A clip is a video's first event, with its first sentence.
"""

import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...cache.catalog import Catalog, Clip, Split
from ...core.errors import StructAlignError
from .dataset import Dataset
from .file_index import CTVR, FileIndex
from .splits import read_benchmark_split

QUERIES: dict[Split, str] = {"train": "train_queries.json", "test": "val_queries.json"}


def read_actnet(root: Path, extra_folders: Iterable[Path] = ()) -> Dataset:
    """Read splits and queries; clip ``v_xxx_1`` is the first event of ``v_xxx.mp4`` (mkv, webm).

    An event that reaches beyond its video's duration is clamped with a warning.

    Raises:
        StructAlignError: a file is missing or broken, or a video of the split has no query.
    """
    index = FileIndex(root, extra_folders)
    files = index.files_ending("actnet_20_dataset.pkl", "actnet_10_dataset.pkl")
    if not files:
        index.file("ACTNET_20_dataset.pkl", CTVR)
    split = read_benchmark_split(files)
    queries = {name: index.json(file, CTVR) for name, file in QUERIES.items()}
    clips = []
    for category in split.categories:
        for name, videos in (("train", split.train[category]), ("test", split.test[category])):
            kind: Split = "train" if name == "train" else "test"
            clips += [_clip(video, category, kind, queries[kind], index) for video in videos]
    return Dataset(Catalog("actnet", split.categories, tuple(clips)), root)


def _clip(
    video: str, category: str, split: Split, queries: dict[str, Any], index: FileIndex
) -> Clip:
    try:
        query = queries[video]
        (start, end), sentence = query["timestamps"][0], str(query["sentences"][0]).strip()
        start, end, duration = float(start), float(end), float(query["duration"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StructAlignError(
            f"{video} is in the {split} split but has no complete query in {QUERIES[split]} "
            f"({error})"
        ) from error
    begin, finish = sorted((start, end))
    inside = min(max(0.0, begin), duration), min(finish, duration)
    if not all(map(math.isfinite, (*inside, duration))) or inside[0] >= inside[1]:
        raise StructAlignError(
            f"{video}: its first event runs from {start} s to {end} s of {duration} s, "
            "which leaves nothing to look at"
        )
    if inside != (start, end):
        told = (
            f"event {start} s to {end} s of {duration} s is taken as {inside[0]} s to {inside[1]} s"
        )
        warnings.warn(f"{video}: {told}", stacklevel=2)
    return Clip(f"{video}_1", index.video(video), category, split, (sentence,), *inside)

"""ActivityNet Captions as CTVR defines it.

200 classes x 16 training clips, 4,910 test clips; a clip is a video's first event.
"""

import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...cache.catalog import Catalog, Clip
from ...cache.runtime.errors import StructAlignError
from .dataset import Dataset
from .file_index import CTVR, FileIndex
from .splits import read_benchmark_split


def read_actnet(root: Path, more: Iterable[Path] = ()) -> Dataset:
    """Read splits and queries.

    Clip ``v_xxx_1`` is the first event of ``v_xxx.mp4`` (mkv, webm), with its first sentence.

    An event that reaches beyond its video's duration is clamped with a warning.

    Raises:
        StructAlignError: a file is missing or broken, or a video of the split has no query.
    """
    layout = FileIndex(root, more)
    splits = layout.files_ending("actnet_20_dataset.pkl", "actnet_10_dataset.pkl")
    if not splits:
        layout.file("ACTNET_20_dataset.pkl", CTVR)
    split = read_benchmark_split(splits)
    train, test = layout.json("train_queries.json", CTVR), layout.json("val_queries.json", CTVR)
    clips = []
    for name in split.categories:
        clips += [_clip(video, name, "train", train, layout) for video in split.train[name]]
        clips += [_clip(video, name, "test", test, layout) for video in split.test[name]]
    return Dataset(Catalog("actnet", split.categories, tuple(clips)), root)


def _clip(video: str, category: str, side: str, queries: dict[str, Any], layout: FileIndex) -> Clip:
    try:
        query = queries[video]
        (start, end), sentence, duration = (
            query["timestamps"][0],
            str(query["sentences"][0]).strip(),
            float(query["duration"]),
        )
        start, end = float(start), float(end)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StructAlignError(
            f"{video} is in the {side} split but has no complete query in "
            f"{side.replace('test', 'val')}_queries.json ({error})"
        ) from error
    begin, finish = sorted((start, end))
    inside = min(max(0.0, begin), duration), min(finish, duration)
    if not all(map(math.isfinite, (*inside, duration))) or inside[0] >= inside[1]:
        raise StructAlignError(
            f"{video}: its first event runs from {start} s to {end} s of {duration} s, which "
            "leaves nothing to look at"
        )
    if inside != (start, end):
        warnings.warn(
            f"{video}: event {start} s to {end} s of {duration} s is taken as {inside[0]} s to "
            f"{inside[1]} s",
            stacklevel=2,
        )
    return Clip(
        f"{video}_1",
        layout.video(video),
        category,
        "train" if side == "train" else "test",
        (sentence,),
        *inside,
    )

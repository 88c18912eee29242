"""ActivityNet Captions as CTVR defines it: 200 classes of 16 training clips, 4,910 test clips.

A clip is a video's first event, with its first sentence.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

from ...cache.catalog import Catalog, Clip, Split
from ...core.errors import StructAlignError
from .dataset import Dataset, DatasetReader, Inputs
from .file_index import CTVR, FileIndex
from .splits import read_benchmark_split

QUERIES: dict[Split, str] = {"train": "train_queries.json", "test": "val_queries.json"}


@dataclass(frozen=True)
class ActNet(DatasetReader):
    """Clip ``v_xxx_1`` is the first event of ``v_xxx.mp4`` (mkv, webm)."""

    has_fixed_splits: ClassVar[bool] = True

    def read(self, inputs: Inputs) -> Dataset:
        """Read splits and queries; clamp events to their videos, with a warning.

        Raises StructAlignError: a file is missing or broken, or a video of the split has no query.
        """
        index = FileIndex(inputs.videos, inputs.splits)
        split = read_benchmark_split(index, "ACTNET")
        queries = {kind: index.json(file, CTVR) for kind, file in QUERIES.items()}
        clips = tuple(
            _clip(video, category, kind, queries[kind], index)
            for kind, video, category in split.rows()
        )
        return Dataset(Catalog("actnet", split.categories, clips), inputs.videos)


def _clip(
    video: str, category: str, split: Split, queries: dict[str, Any], index: FileIndex
) -> Clip:
    try:
        query = queries[video]
        (start, end), sentences = query["timestamps"][0], query["sentences"]
        if not isinstance(sentences, list) or not isinstance(sentences[0], str):
            raise TypeError("its sentences are no list of texts")
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
            "so no part of the video is left"
        )
    if inside != (start, end):
        warnings.warn(
            f"{video}: event {start} s to {end} s of {duration} s is clamped to {inside[0]} s to "
            f"{inside[1]} s",
            stacklevel=2,
        )
    return Clip(f"{video}_1", index.video(video), category, split, (sentences[0].strip(),), *inside)

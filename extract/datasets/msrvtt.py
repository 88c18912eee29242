"""MSR-VTT as CTVR defines it: 20 categories of 16 training videos, 2,990 test videos.

A training video has all of its captions, a test video one fixed sentence.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from ...cache.catalog import Catalog, Clip
from ...core.errors import StructAlignError
from .dataset import Dataset, DatasetReader, Inputs
from .file_index import CTVR, FileIndex
from .splits import read_benchmark_split
from .tables import csv_rows

CATEGORIES = (
    "music", "people", "gaming", "sports", "news", "education", "tv_shows", "movie", "animation",
    "vehicles", "howto", "travel", "science", "animals", "kids", "documentary", "food", "cooking",
    "beauty", "advertisement",
)  # fmt: skip
"""MSR-VTT's names for its category numbers 0 to 19."""
WHOLE = "MSRVTT_data.json"
PARTS = ("train_val_videodatainfo.json", "test_videodatainfo.json")
"""As Microsoft published it."""
ANNOTATIONS = f"MSR-VTT itself ({WHOLE} in the usual MSRVTT.zip, or Microsoft's own {PARTS[0]})"


@dataclass(frozen=True)
class MSRVTT(DatasetReader):
    """The split of CTVR with the captions of MSR-VTT; videos are ``videoNNN.mp4`` (mkv, webm)."""

    has_fixed_splits: ClassVar[bool] = True

    def read(self, inputs: Inputs) -> Dataset:
        """Read splits, captions and test sentences.

        Raises:
            StructAlignError: a file is missing or broken, or a video of the split has no caption.
        """
        index = FileIndex(inputs.videos, inputs.splits)
        split = read_benchmark_split(index, "MSRVTT")
        captions = {"train": _train_captions(index), "test": _test_sentences(index)}
        clips = []
        for kind, video, key in split.rows():
            texts = captions[kind].get(video)
            if not texts:
                raise StructAlignError(
                    f"{video} is in the {kind} split but has no caption in MSR-VTT's files under "
                    f"{inputs.videos}"
                )
            clips.append(Clip(video, index.video(video), _name(key), kind, tuple(texts)))
        categories = tuple(map(_name, split.categories))
        return Dataset(Catalog("msrvtt", categories, tuple(clips)), inputs.videos)


def _name(key: str) -> str:
    if not key.isdecimal() or int(key) >= len(CATEGORIES):
        raise StructAlignError(
            f"the split file has a category '{key}'; "
            f"MSR-VTT's are the numbers 0 to {len(CATEGORIES) - 1}"
        )
    return CATEGORIES[int(key)]


def _train_captions(index: FileIndex) -> dict[str, list[str]]:
    files = [name for name in PARTS if name in index and WHOLE not in index] or [WHOLE]
    captions: dict[str, list[str]] = defaultdict(list)
    for name in files:
        body = index.json(name, ANNOTATIONS)
        try:
            for row in sorted(body["sentences"], key=lambda row: int(row["sen_id"])):
                captions[row["video_id"]].append(row["caption"].strip())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StructAlignError(
                f"{name} has no 'sentences' of caption, video_id and sen_id ({error}); "
                f"take the file from {ANNOTATIONS}"
            ) from error
    return captions


def _test_sentences(index: FileIndex) -> dict[str, list[str]]:
    path = index.file("MSRVTT_CL_validation.csv", CTVR)
    sentences: dict[str, list[str]] = {}
    for line, row in csv_rows(path, ("video_id", "sentence"), f"take it from {CTVR}"):
        if row["video_id"] in sentences:
            raise StructAlignError(
                f"{path}, line {line}: a second sentence of {row['video_id']}; keep one"
            )
        sentences[row["video_id"]] = [row["sentence"].strip()]
    return sentences

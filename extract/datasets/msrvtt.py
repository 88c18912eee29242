"""MSR-VTT as CTVR defines it.

20 categories x 16 training videos with all their captions, 2,990 test videos with one sentence
each.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ...cache.catalog import Catalog, Clip
from ...cache.runtime.errors import StructAlignError
from .dataset import Dataset
from .file_index import CTVR, FileIndex
from .splits import read_benchmark_split

CATEGORIES = (
    "music", "people", "gaming", "sports", "news", "education", "tv_shows", "movie", "animation",
    "vehicles",
    "howto", "travel", "science", "animals", "kids", "documentary", "food", "cooking", "beauty",
    "advertisement",
)  # fmt: skip
"""MSR-VTT's names of its category numbers 0 to 19."""
ANNOTATIONS = "MSR-VTT itself (MSRVTT_data.json in the usual MSRVTT.zip)"


def read_msrvtt(root: Path, more: Iterable[Path] = ()) -> Dataset:
    """Read splits, captions and the fixed test sentences.

    Videos are ``videoNNN.mp4`` (mkv, webm) anywhere under ``root``.

    Raises:
        StructAlignError: a file is missing or broken, or a video of the split has no caption.
    """
    layout = FileIndex(root, more)
    splits = layout.files_ending("msrvtt_20_dataset.pkl", "msrvtt_10_dataset.pkl")
    if not splits:
        layout.file("MSRVTT_20_dataset.pkl", CTVR)
    split = read_benchmark_split(splits)
    train = _train_captions(layout)
    test = _test_sentences(layout)
    clips = []
    for key in split.categories:
        for side, videos, captions in (
            ("train", split.train[key], train),
            ("test", split.test[key], test),
        ):
            for video in videos:
                if not captions.get(video):
                    raise StructAlignError(
                        f"{video} is in the {side} split but has no caption in MSR-VTT's files "
                        f"under {root}"
                    )
                clips.append(
                    Clip(
                        video,
                        layout.video(video),
                        _name(key),
                        "train" if side == "train" else "test",
                        tuple(captions[video]),
                    )
                )
    return Dataset(
        Catalog("msrvtt", tuple(_name(key) for key in split.categories), tuple(clips)), root
    )


def _name(key: str) -> str:
    if not key.isdigit() or int(key) >= len(CATEGORIES):
        raise StructAlignError(
            f"the split file has a category '{key}'; MSR-VTT's are the numbers 0 to "
            f"{len(CATEGORIES) - 1}"
        )
    return CATEGORIES[int(key)]


def _train_captions(layout: FileIndex) -> dict[str, list[str]]:
    body = layout.json("MSRVTT_data.json", ANNOTATIONS)
    captions: dict[str, list[str]] = defaultdict(list)
    try:
        for row in sorted(body["sentences"], key=lambda row: int(row["sen_id"])):
            captions[str(row["video_id"])].append(str(row["caption"]).strip())
    except (KeyError, TypeError, ValueError) as error:
        raise StructAlignError(
            f"MSRVTT_data.json has no 'sentences' of caption, video_id and sen_id ({error}); take "
            f"the file from {ANNOTATIONS}"
        ) from error
    return captions


def _test_sentences(layout: FileIndex) -> dict[str, list[str]]:
    path = layout.file("MSRVTT_CL_validation.csv", CTVR)
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"video_id", "sentence"} <= set(rows.fieldnames or ()):
            raise StructAlignError(
                f"{path} has no columns video_id and sentence; take it from {CTVR}"
            )
        return {row["video_id"]: [row["sentence"].strip()] for row in rows}

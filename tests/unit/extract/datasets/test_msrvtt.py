"""MSR-VTT's files in the forms that people have them in: one catalog, or one line why not."""

import codecs
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from structalign.cache.catalog import Catalog
from structalign.core.errors import StructAlignError
from structalign.extract.datasets.dataset import Inputs
from structalign.extract.datasets.msrvtt import MSRVTT

SPLIT = {"train": {1: {0: ["video0"], 1: ["video1"]}}, "val": {1: {0: ["video7"], 1: ["video8"]}}}
CSV = 'key,video_id,sentence\nret0,video7,"a man, a plan"\nret1,video8,a canal\n'


def annotations(*videos: str) -> dict[str, Any]:
    sentences = [
        {"caption": f" caption {n} of {video}", "video_id": video, "sen_id": 9 * int(video[5:]) - n}
        for n in range(2)
        for video in videos
    ]
    return {"info": {}, "videos": [{"video_id": video} for video in videos], "sentences": sentences}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "MSRVTT_20_dataset.pkl").write_bytes(pickle.dumps(SPLIT))
    (tmp_path / "MSRVTT_data.json").write_text(json.dumps(annotations("video0", "video1")))
    (tmp_path / "MSRVTT_CL_validation.csv").write_text(CSV)
    return tmp_path


def read(root: Path, splits: Path | None = None) -> Catalog:
    return MSRVTT().read(Inputs(root, root, splits)).catalog


def test_byte_order_marks(root: Path) -> None:
    plain = read(root)
    assert plain["video0"].captions == ("caption 1 of video0", "caption 0 of video0")
    assert plain["video7"].captions == ("a man, a plan",)
    for name in ("MSRVTT_data.json", "MSRVTT_CL_validation.csv"):
        body = (root / name).read_bytes()
        for marked in (codecs.BOM_UTF8 + body, body.decode().encode("utf-16")):
            (root / name).write_bytes(marked)
            assert read(root).hash() == plain.hash()


def test_microsofts_own_files_give_the_same_catalog(root: Path) -> None:
    """train_val_videodatainfo.json, and test_videodatainfo.json where the split needs it."""
    plain = read(root)
    (root / "MSRVTT_data.json").unlink()
    (root / "train_val_videodatainfo.json").write_text(json.dumps(annotations("video1", "video0")))
    assert read(root).hash() == plain.hash()
    (root / "train_val_videodatainfo.json").write_text(json.dumps(annotations("video0")))
    with pytest.raises(StructAlignError, match="video1 is in the train split but has no caption"):
        read(root)
    (root / "test_videodatainfo.json").write_text(json.dumps(annotations("video1")))
    assert read(root).hash() == plain.hash()


def test_annotations_as_a_file(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain = read(root)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "train_val_videodatainfo.json"
    (root / "MSRVTT_data.json").rename(elsewhere)
    assert read(root, elsewhere).hash() == plain.hash()
    with pytest.raises(StructAlignError, match="is a file; give the folder with the videos"):
        read(elsewhere)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("MSRVTT_CL_validation.csv", CSV + "ret2,video9\n", "line 4: 2 fields where the header"),
        ("MSRVTT_CL_validation.csv", CSV.replace(",", ";"), "semicolons stand between"),
        ("MSRVTT_CL_validation.csv", CSV.replace("sentence", "text"), "no column 'sentence'"),
        ("MSRVTT_CL_validation.csv", CSV + "ret2,video8,again\n", "line 4: a second sentence of"),
        ("MSRVTT_CL_validation.csv", CSV.replace("a canal", " "), "'video8' has an empty caption"),
        ("MSRVTT_CL_validation.csv", "", "is empty; take it from"),
        ("MSRVTT_data.json", json.dumps({"sentences": [{"video_id": "video0", "sen_id": 1}]}),
         "has no 'sentences' of caption"),
        ("MSRVTT_data.json", json.dumps({"sentences": [
            {"video_id": "video0", "sen_id": 1, "caption": None}]}), "has no 'sentences' of capt"),
        ("MSRVTT_data.json", '{"sentences": "none"}', "has no 'sentences' of caption"),
        ("MSRVTT_data.json", "[" * 100_000, "is not JSON: JSON nested too deep"),
    ],
)  # fmt: skip
def test_refused(root: Path, name: str, text: str, message: str) -> None:
    (root / name).write_text(text)
    with pytest.raises(StructAlignError, match=message):
        read(root)


@pytest.mark.parametrize("videos", ["video0", {"video0": 1}, [0]])
def test_a_split_whose_categories_are_no_lists_of_names(root: Path, videos: Any) -> None:
    split = {"train": {1: {0: videos}}, "val": {1: {0: ["video7"]}}}
    (root / "MSRVTT_20_dataset.pkl").write_bytes(pickle.dumps(split))
    with pytest.raises(StructAlignError, match="category 0 is no list of names"):
        read(root)

"""MSR-VTT and ActivityNet from CTVR's published files: one catalog serves K = 10 and K = 20.

The published files are not part of the repository: STRUCTALIGN_CTVR names their folder, and without
it these tests are skipped.
"""

import json
import os
import shutil
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from structalign.cache import StructAlignError
from structalign.cache.catalog import Catalog
from structalign.extract.datasets.actnet import ActNet
from structalign.extract.datasets.dataset import Inputs
from structalign.extract.datasets.msrvtt import MSRVTT
from structalign.extract.datasets.splits import read_split
from structalign.train.methods.registry import load_method
from structalign.train.stream import StreamPart, TaskStream
from structalign.train.task_plan import plan_tasks

CTVR = Path(os.environ.get("STRUCTALIGN_CTVR") or Path(__file__).parents[5] / "shared" / "ctvr")
pytestmark = pytest.mark.skipif(
    not CTVR.is_dir(), reason="needs CTVR's split files (STRUCTALIGN_CTVR)"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CTVR's files, and MSR-VTT's captions in the shape of the real file, for the 320 training
    videos.
    """
    root = tmp_path / "root"
    shutil.copytree(CTVR, root / "deep" / "annotations")
    split = read_split(CTVR / "MSRVTT_20_dataset.pkl")
    videos = [video for category in split.categories for video in split.train[category]]
    sentences = [
        {"caption": f"caption {n} of {video}", "video_id": video, "sen_id": 20 * v + n}
        for v, video in enumerate(videos)
        for n in range(20)
    ]
    listed = [
        {"video_id": video, "category": 0, "split": "train", "id": n}
        for n, video in enumerate(videos)
    ]
    (root / "MSRVTT_data.json").write_text(
        json.dumps({"info": {}, "videos": listed, "sentences": sentences})
    )
    return root


def read_msrvtt(root: Path) -> Catalog:
    return MSRVTT().read(Inputs(root, root)).catalog


def read_actnet(root: Path, splits: Path | None = None) -> Catalog:
    return ActNet().read(Inputs(root, root, splits)).catalog


def copies(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(CTVR / name, folder)
    return folder


@pytest.mark.parametrize("name", ["MSRVTT", "ACTNET"])
def test_twenty_tasks_refine_ten(name: str) -> None:
    ten, twenty = (read_split(CTVR / f"{name}_{k}_dataset.pkl") for k in (10, 20))
    assert (ten.tasks, twenty.tasks) == (10, 20)
    assert (
        ten.categories == twenty.categories
        and ten.train == twenty.train
        and ten.test == twenty.test
    )


def test_msrvtt(root: Path) -> None:
    (root / "videos").mkdir()
    (root / "videos" / "video7016.webm").write_bytes(b"x")
    catalog = read_msrvtt(root)
    train, test = ([clip for clip in catalog if clip.split == side] for side in ("train", "test"))
    assert (len(train), len(test), len(catalog.categories)) == (320, 2990, 20)
    assert set(Counter(clip.category for clip in train).values()) == {16}
    assert all(len(clip.captions) == 20 for clip in train) and all(
        len(clip.captions) == 1 for clip in test
    )
    numbers = sorted(int(clip.id.removeprefix("video")) for clip in test)
    assert numbers == list(range(7010, 10000))
    assert catalog["video9770"].captions == ("a person is connecting something to system",)
    assert (
        catalog["video7016"].path == "videos/video7016.webm"
        and catalog["video9770"].path == "video9770.mp4"
    )


def test_actnet(root: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        catalog = read_actnet(root)
    train, test = ([clip for clip in catalog if clip.split == side] for side in ("train", "test"))
    assert (len(train), len(test), len(catalog.categories)) == (3200, 4910, 200)
    durations = {
        **json.loads((CTVR / "train_queries.json").read_text()),
        **json.loads((CTVR / "val_queries.json").read_text()),
    }
    changed = 0
    for clip in catalog:
        query = durations[clip.id.removesuffix("_1")]
        assert clip.id.endswith("_1") and clip.captions == (query["sentences"][0].strip(),)
        assert clip.start is not None and clip.end is not None
        assert 0 <= clip.start < clip.end <= query["duration"]
        changed += [clip.start, clip.end] != [float(t) for t in query["timestamps"][0]]
    assert changed == len([w for w in caught if "is clamped to" in str(w.message)])
    for tasks, size in ((10, 320), (20, 160)):
        step = 200 // tasks
        for first in range(0, 200, step):
            assert len(catalog.select("train", catalog.categories[first : first + step])) == size


@pytest.mark.parametrize(("tasks", "searched"), [(10, 4768), (20, 4576)])
def test_the_released_test_loader_drops_part_of_actnet(
    root: Path, tasks: int, searched: int
) -> None:
    """With ``drop_last`` as many test clips are searched as the released code searches, and the
    coverage says so.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        catalog = read_actnet(root)
    cache: Any = SimpleNamespace(catalog=catalog, available=lambda clips: clips)
    for recipe, count in (("structalign-released", searched), ("structalign", 4910)):
        settings = load_method(recipe, "actnet", "ViT-B-32-quickgelu").settings
        part = StreamPart(cache, plan_tasks(catalog.categories, tasks))
        stream = TaskStream([part], settings, 0, torch.device("cpu"))
        queries = sum(
            len(stream.queries(number, lambda texts: torch.zeros(len(texts), 2)).clips)
            for number in range(1, tasks + 1)
        )
        assert queries == count
        assert stream.coverage(tasks) == count / 4910


def test_one_split_file_is_enough(tmp_path: Path, root: Path) -> None:
    folder = copies(
        tmp_path / "ten", "ACTNET_10_dataset.pkl", "train_queries.json", "val_queries.json"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_actnet(folder).categories == read_actnet(root).categories


@pytest.mark.parametrize("missing", ["MSRVTT_data.json", "MSRVTT_CL_validation.csv"])
def test_a_missing_file_is_named_with_its_source(root: Path, missing: str) -> None:
    next(root.rglob(missing)).unlink()
    with pytest.raises(StructAlignError, match=rf"no {missing} anywhere under .*it comes from"):
        read_msrvtt(root)


def test_missing_splits_and_broken_captions(tmp_path: Path, root: Path) -> None:
    with pytest.raises(StructAlignError, match=r"no ACTNET_20_dataset.pkl anywhere under .*CTVR"):
        read_actnet(copies(tmp_path / "bare", "train_queries.json"))
    (root / "MSRVTT_data.json").write_text('{"sentences": []}')
    with pytest.raises(StructAlignError, match="is in the train split but has no caption"):
        read_msrvtt(root)
    (root / "MSRVTT_data.json").write_text('{"videos": []}')
    with pytest.raises(StructAlignError, match="has no 'sentences'"):
        read_msrvtt(root)
    (root / "MSRVTT_data.json").write_text("<html>")
    with pytest.raises(StructAlignError, match="is not JSON"):
        read_msrvtt(root)


def test_annotations_in_a_second_folder(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(read_actnet(tmp_path / "videos", CTVR)) == 8110

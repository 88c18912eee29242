"""A dataset of one's own is one Python file and one YAML; nothing else has to know of it."""

from pathlib import Path

import pytest
from helpers.cli import Cli
from structalign.extract.datasets.registry import dataset_class

FILMS = '''
from dataclasses import dataclass, field

from structalign.cache import Catalog, Clip
from structalign.extract.datasets.dataset import Dataset, DatasetReader, Inputs


@dataclass(frozen=True)
class Films(DatasetReader):
    """The first videos of a folder, every second one for testing."""

    count: int = field(default=2, metadata={"help": "How many videos."})

    def read(self, inputs: Inputs) -> Dataset:
        files = sorted(inputs.videos.glob("*.mp4"))[: self.count]
        clips = [
            Clip(f.stem, f.name, "films", ("train", "test")[n % 2], (f"film {n}",))
            for n, f in enumerate(files)
        ]
        return Dataset(Catalog("films", ("films",), tuple(clips)), inputs.videos)
'''


@pytest.fixture
def films(tmp_path: Path) -> Path:
    (tmp_path / "films.yaml").write_text("extract: {backbone: demo, frames: 3, views: 2}\n")
    file = tmp_path / "films.py"
    file.write_text(FILMS)
    return file


def test_one_file_and_one_yaml_are_enough(cli: Cli, videos: Path, films: Path) -> None:
    """Extracted under the catalog's name, with the YAML's values and the file's option."""
    line = ("extract", "--dataset", films, "--root", videos, "--engine", "inline")
    report = cli.json(*line, "--set", "count=4")
    assert (report["clips"], report["ok"]) == (4, 4)
    spec = cli.json("cache", "info", "films")["spec"]
    assert (spec["dataset"], spec["backbone"], spec["frames"]) == ("films", "demo", 3)
    assert cli.json(*line, "--set", "count=4")["reused"]
    assert cli.error(*line, "--set", "cuont=4").startswith("error: unknown option 'cuont'")


def test_a_video_in_train_and_test_is_refused(
    cli: Cli, videos: Path, films: Path, tmp_path: Path
) -> None:
    """As in a manifest: the splits are the user's own."""
    (tmp_path / "films").mkdir()
    for name in ("a", "b"):
        (tmp_path / "films" / f"{name}.mp4").symlink_to(next(videos.glob("*.mp4")))
    line = ("extract", "--dataset", films, "--root", tmp_path / "films", "--engine", "inline")
    assert "--allow-overlap" in cli.error(*line)
    assert cli.json(*line, "--allow-overlap")["ok"] == 2


def test_another_version_of_the_file_is_another_class(films: Path) -> None:
    first = dataset_class(str(films))
    assert dataset_class(str(films)) is first
    films.write_text(FILMS.replace("default=2", "default=3"))
    assert dataset_class(str(films))().count == 3  # type: ignore[attr-defined]

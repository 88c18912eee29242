"""Ids as data sets have them, from extraction to the search page: shown as they are."""

import csv
import shutil
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from helpers.cli import EXTRACT, Cli
from helpers.server import serving
from structalign.cache import CacheRoot
from structalign.cache.hdf5 import export_hdf5, import_hdf5
from structalign.extract.datasets.manifest import FORMS
from structalign.verbs import report, train

IDS = [
    "x.y", "0", "-mv89psg6zh4_33_46", "a film/scene 1", "a:b*c|d", "漢字", "Brücke 5% <b>?",
    "ü" * 300,
]  # fmt: skip


def odd_manifest(videos: Path, folder: Path) -> Path:
    """Eight clips of two categories; a file's name as macOS writes it, and as people type it."""
    with (videos / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["category"] for row in rows))[:2]
    whole = {row["path"]: row for row in reversed(rows)}.values()  # one caption of each clip
    chosen: list[dict[str, str]] = []
    for label in ((name, split) for name in names for split in ("train", "test")):
        chosen += [row for row in whole if (row["category"], row["split"]) == label][:2]
    for number, (name, row) in enumerate(zip(IDS, chosen, strict=True)):
        file_name = f"- Café {number}.mp4"
        spelled = unicodedata.normalize("NFD", file_name)
        shutil.copy(videos / row["path"], folder / spelled)
        row |= {"clip_id": unicodedata.normalize("NFD", name), "path": file_name}
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(chosen[0]))
        table.writeheader()
        table.writerows(chosen)
    return folder


@pytest.mark.slow
def test_from_extraction_to_the_search_page(cli: Cli, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    root = odd_manifest(videos, tmp_path / "odd")
    extracted = cli.json(*EXTRACT, "--root", root, "--cut", "4")
    assert extracted["ok"] == 8 and extracted["quarantined"] == []
    cache = CacheRoot(cli.home / "cache").find(None)
    assert sorted(cache.catalog.ids) == sorted(IDS)
    run = train(cache, "zeroshot", 2, out=cli.home / "run", device="cpu")
    report([run.path], cache_root=cli.home / "cache")
    pictures = tmp_path / "pictures"
    shown = cli("search", "run", "--top", 8, "--thumbnails", pictures, "--", "-a red star").stdout
    assert all(f"  {name}  " in shown for name in IDS)
    assert len(list(pictures.iterdir())) == len(IDS)
    export_hdf5(cache, tmp_path / "all.h5")
    copied = import_hdf5(tmp_path / "all.h5", CacheRoot(tmp_path / "other"), print)
    assert copied.fingerprint == cache.fingerprint and copied.catalog.ids == cache.catalog.ids
    with serving(cli, "run") as server:
        results = server.ask("/api/search?top=8&q=" + quote("a red star")).json["results"]
        assert {result["clip"] for result in results} == set(IDS)
        for result in results:
            assert server.ask(result["video"]).status == 200
            assert server.ask(result["thumbnail"]).status == 200
            for form in FORMS:
                typed = quote(unicodedata.normalize(form, result["clip"]), safe="")
                assert server.ask(f"/api/clips/{typed}").json["clip"] == result["clip"]

"""Every public verb with a method, on one device: JSON on stdout.

``every_verb DEVICE FOLDER VIDEOS METHOD...``, a device of torch or ``gpu``, the pretend
accelerator: figures of each method, and there the lines that waited for it between two steps of
one epoch.
"""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from structalign import open_run
from structalign.backbones.backbone import load_backbone
from structalign.backbones.weight_hashes import hash_weights
from structalign.cache.reader import FeatureCache
from structalign.evaluate import evaluate, search
from structalign.extract import extract
from structalign.search.searcher import Searcher
from structalign.train import append, train
from structalign.train.optimizer import ExpertAdamW
from structalign.train.runs.run import Run

from helpers.cli import ROOT
from helpers.other_files import make_other_files

SMALL: dict[str, Any] = {
    "epochs": 1, "batch": 2, "lr_first": None, "lr_text": 1e-3, "lr_vision": 1e-3,
    "experts": 3, "rank": 8,
}  # fmt: skip
CATEGORIES, CLIPS = 2, {"train": 4, "test": 3}  # of each category: two steps a task
WAITED: list[str] = []  # of the method at hand


def quiet(*_: object) -> None:
    """Tell nobody."""


def every_verb(device: str, folder: Path, videos: Path, methods: list[str]) -> dict[str, Any]:
    """Run this file in a process of its own, in a new folder; what it tells."""
    folder.mkdir()
    command = [sys.executable, "-m", "helpers.every_verb", device, str(folder), str(videos)]
    ended = subprocess.run(
        [*command, *methods], cwd=ROOT / "tests", capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def watch_steps() -> None:
    """Log what waits for the pretend accelerator between two optimizer steps of one epoch."""
    from helpers import pretend_gpu  # makes the device, for good

    step, before = ExpertAdamW.step, pretend_gpu.WAITS.copy()
    last: list[ExpertAdamW] = []

    def watched(self: ExpertAdamW, factor: float) -> None:
        nonlocal before
        if last and last[-1] is self:  # an epoch alone, so an optimizer of its own each
            WAITED.extend(" ".join(one) for one in pretend_gpu.WAITS - before)
        step(self, factor)
        last[:] = [self]
        before = pretend_gpu.WAITS.copy()

    setattr(ExpertAdamW, "step", watched)  # noqa: B010 (mypy: a method is replaced)


def collection(videos: Path, folder: Path, suffix: str) -> Path:
    """Some of the videos with one caption each, and a suffix to their categories."""
    folder.mkdir()
    with (videos / "manifest.csv").open() as file, (folder / "manifest.csv").open("w") as out:
        first = {row["clip_id"]: row for row in reversed(list(csv.DictReader(file)))}
        rows = sorted(first.values(), key=lambda row: row["clip_id"])
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        for category in sorted({row["category"] for row in rows})[:CATEGORIES]:
            for split, count in CLIPS.items():
                mine = [r for r in rows if (r["category"], r["split"]) == (category, split)]
                for row in mine[:count]:
                    shutil.copy(videos / row["path"], folder)
                    table.writerow({**row, "category": category + suffix})
    if suffix:
        make_other_files(folder)
    return folder


def verbs(
    method: str, caches: list[FeatureCache], out: Path, device: str, videos: Path
) -> dict[str, Any]:
    """Train, stop, resume, append, evaluate, search by words and by a video."""
    WAITED.clear()
    given: dict[str, Any] = {"tasks": 2, "out": out, "device": device}
    given |= {"progress": quiet, "note": quiet}
    train(caches[0], method, until=1, **given, **SMALL)
    run = train(caches[0], method, **given, **SMALL)
    if method != "joint":  # it learns all at once
        run = append(run, caches[1], progress=quiet, note=quiet)
    results = evaluate(run).to_json()
    opened: Run = open_run(out, cache=caches[0], device=device)
    video = opened.encode_video(min(videos.glob("*.mp4")))
    found = search(opened, "a red ball", 5)
    return {
        "matrix": results["matrix"]["r1"],
        "t2v": results["final"]["t2v"],
        "found": [one.clip.id for one in found.results],
        "alike": [one.clip.id for one in Searcher(opened).search_alike(video, "a", 5).results],
        "waited": sorted(set(WAITED)),
    }


def main() -> None:
    """Extract, then every method in turn."""
    device, folder, videos = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if device == "gpu":
        watch_steps()
    roots = [collection(videos, folder / f"videos{n}", n * " again") for n in range(2)]
    caches = [
        extract(
            "manifest", root=root, name=f"part{n}", backbone="demo", frames=2, views=2, cut=0,
            engine="inline", device=device, cache_root=folder / "cache", progress=quiet, note=quiet,
        )
        for n, root in enumerate(roots)
    ]  # fmt: skip
    # As it is handed to Ray's workers after this process has begun with it.
    stem = load_backbone("demo", "demo").stem(2).to(device)
    body: dict[str, Any] = {"fingerprints": [cache.fingerprint for cache in caches]}
    body["stem"] = hash_weights(stem.state_dict())
    body["cache"] = str(caches[0].path)
    body["methods"] = {
        m: verbs(m, caches, folder / Path(m).name, device, videos) for m in sys.argv[4:]
    }
    json.dump(body, sys.stdout)


if __name__ == "__main__":
    main()

"""A person's own videos: where they may lie, and what is said of clips that do not fit them."""

import csv
import shutil
from pathlib import Path

import av
import pytest
from helpers.cli import EXTRACT, INLINE, QUICK, Cli

LINES = (
    ("long", "1", "99", "a red ball rolls"),
    ("short", "0", "0.5", "a red ball stands"),
    ("whole", "", "", "two green squares spin"),
)


@pytest.fixture
def manifest(tmp_path: Path, videos: Path) -> Path:
    """In a folder without videos; its paths are absolute."""
    films = sorted(videos.glob("*.mp4"))
    (tmp_path / "lists").mkdir()
    file = tmp_path / "lists" / "manifest.csv"
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["clip_id", "path", "start", "end", "category", "split", "caption"])
        for (name, start, end, caption), film in zip(LINES, films, strict=False):
            split = "train" if name == "whole" else "test"
            table.writerow([name, film, start, end, "balls", split, caption])
    return file


def test_videos_on_a_second_disk_and_a_clip_longer_than_its_video(
    shared: Cli, cli: Cli, videos: Path, manifest: Path
) -> None:
    done = cli(*EXTRACT, "--root", videos, "--splits", manifest.parent, "--cut", "4")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "after their video" in line]
    assert len(told) == 1
    assert told[0].startswith("1 of 3 clips end after their video and are clamped to its end")
    body = cli.json("cache", "info")
    assert list(body["video_ends"]) == ["long"] and 1 < body["video_ends"]["long"] < 10
    cli.json("cache", "export", cli.home / "bundle.h5")
    cli.json("cache", "rm", body["fingerprint"], "--yes")
    cli.json("cache", "import", cli.home / "bundle.h5")
    assert cli.json("cache", "info")["video_ends"] == body["video_ends"]
    run = cli.home / "run"
    shared.json("train", *QUICK, "--out", run)
    added = ("--cache", str(body["path"]), "--only", "--cache-root", shared.home / "cache")
    found = cli.json("search", run, "a red ball", *added)
    ends = {one["clip"]: one["end"] for one in found["results"]}
    assert ends == {"long": body["video_ends"]["long"], "short": 0.5, "whole": None}
    shown = cli("search", run, "a red ball", *added).stdout
    assert f"long  1.0 to {ends['long']:.1f} s" in shown and "99" not in shown


def test_a_high_dynamic_range_is_a_warning(cli: Cli, tmp_path: Path, videos: Path) -> None:
    """Its pictures are not tone-mapped, so they are not those of a player."""
    rows = ["clip_id,path,caption", "plain,plain.mp4,a red ball", "pale,pale.mp4,a red ball"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    shutil.copyfile(sorted(videos.glob("*.mp4"))[0], tmp_path / "plain.mp4")
    with av.open(str(tmp_path / "pale.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        stream.codec_context.color_trc = 16  # PQ
        output.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p10le")))
        output.mux(stream.encode())
    done = cli(*INLINE, "--root", tmp_path, "--cut", "4")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 clips are HDR and are not tone-mapped" in done.stderr
    assert "the first: pale, pale.mp4, PQ" in done.stderr


def test_paths_outside_the_root_are_refused(cli: Cli, manifest: Path) -> None:
    line = cli.error(*EXTRACT, "--root", manifest.parent)
    assert "must lie below" in line and "--splits" in line
    text = manifest.read_text().splitlines()
    manifest.write_text("\n".join([text[0], "a,../b.mp4,,,x,train,text"]))
    assert "'../b.mp4' must lie below" in cli.error(*EXTRACT, "--root", manifest.parent)

"""The best frame of each result as a picture; a lost video is reported and skipped."""

from pathlib import Path

from helpers.cli import Cli
from PIL import Image
from structalign.cache import FeatureCache
from structalign.extract.video.decoder import Decoder
from structalign.search.searcher import Searcher
from structalign.search.thumbnails import MAX_HEIGHT, middle_frames, write_thumbnails


def test_the_best_frame_of_each_result_is_written(
    searcher: Searcher, videos: Path, tmp_path: Path
) -> None:
    results = searcher.search("a red star", 3)
    reported: list[str] = []
    write_thumbnails(results, tmp_path, None, reported.append)
    names = [f"{rank:02d}-{result.clip.id}.jpg" for rank, result in enumerate(results, 1)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names and reported == []
    with Decoder(60) as decoder:
        frames = decoder.decode(videos / results[0].clip.path, None, None, 4).frames
    height, width = frames.shape[1:3]
    with Image.open(tmp_path / names[0]) as picture:
        assert picture.size == (width, height)


def test_a_lost_video_is_reported_and_has_no_picture(
    shared: Cli, trained: Path, cache: FeatureCache, tmp_path: Path
) -> None:
    line = ("search", trained, "a red star", "--top", "1", "--root", tmp_path)
    done = shared(*line, "--thumbnails", tmp_path / "none")
    assert done.returncode == 0 and list((tmp_path / "none").iterdir()) == []
    assert "no thumbnail of" in done.stderr and "missing" in done.stderr


def test_middle_frames_are_small(cache: FeatureCache, tmp_path: Path) -> None:
    (body,) = middle_frames([(cache, next(iter(cache.catalog)))])
    assert body is not None
    (tmp_path / "a.jpg").write_bytes(body)
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.format == "JPEG" and picture.height <= MAX_HEIGHT

"""Extraction against the usual way: frames to PNG files, the files read back, the whole of CLIP for every frame. One process, one thread, both."""

import tempfile
from pathlib import Path

import decord
import open_clip
import torch
from PIL import Image

from cache.backbone import Stem, load_backbone
from cache.catalog import Catalog, Clip
from cache.rows import RowTable
from cache.spec import CacheSpec
from cache.staging import create_tokens
from extract.frames import sample_frames
from extract.plan import ViewRule
from extract.stages import UnitRunner, Work
from tests.benchmarks.table import Row, in_turn, tell
from tests.benchmarks.videos import make_videos

CLIPS, FRAMES, CUT = 8, 12, 2


def main() -> None:
    """Test clips, one view each."""
    torch.set_num_threads(1)
    backbone = load_backbone("ViT-B-32-quickgelu", "random:0")
    whole = load_backbone("ViT-B-32-quickgelu", "random:0").model
    transform = open_clip.image_transform(224, is_train=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_videos(folder, CLIPS)
        clips = [Clip(file.stem, file.name, "all", "test", ("x",)) for file in files]
        catalog = Catalog("bench", ("all",), tuple(clips))
        create_tokens(folder, catalog, CacheSpec("bench", "", "", "", "", CUT, FRAMES, 1, 0, 1.0, False, {}, ""), (50, 768))
        (folder / "receipts").mkdir()
        (folder / "png").mkdir()
        work = Work(folder, folder, "", CUT, FRAMES, ViewRule(1, 0, 1.0, False), "cpu", 60)
        runner = UnitRunner(work, Stem(backbone, CUT), backbone.preprocessing, RowTable(catalog, 1))

        def ours() -> None:
            runner.run(0, clips)
            assert all(outcome.reason is None for outcome in runner.staged.receipt(0) or ())

        @torch.inference_mode()
        def usual() -> None:
            for file in files:
                reader = decord.VideoReader(str(file), num_threads=1)
                frames = reader.get_batch(sample_frames(0, len(reader), FRAMES)).asnumpy()
                for n, frame in enumerate(frames):
                    Image.fromarray(frame).save(folder / "png" / f"{n}.png")
                pictures = [transform(Image.open(folder / "png" / f"{n}.png")) for n in range(FRAMES)]
                whole.encode_image(torch.stack(pictures))

        taken = in_turn(1, {"ours": ours, "usual": usual})
        runner.close()
    limit = f"PNG files and whole CLIP, {CLIPS / taken['usual']:.2f} clips/s"
    tell([Row("extract, one thread", f"{CLIPS / taken['ours']:.2f} clips/s", limit, taken["usual"] / taken["ours"], 5)])


if __name__ == "__main__":
    main()

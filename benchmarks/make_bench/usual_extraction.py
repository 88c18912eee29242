"""Extraction against the usual way: frames to PNG files and back, the whole of CLIP per frame.

Both use one process and one thread.
"""

import tempfile
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from torch.nn import functional as F

from ...backbones.backbone import Backbone, load_backbone
from ...cache.catalog import Catalog, Clip
from ...cache.spec import CacheSpec
from ...cache.store import Local
from ...cache.tokens import ViewTable, create_tokens, open_tokens
from ...core.device import prepare_cpu
from ...extract.video.sampling import sample_frames
from ...extract.worker import ClipWorker, WorkerConfig
from ..parts.table import Row, in_turn, print_rows
from ..parts.videos import make_videos

CLIPS, FRAMES, CUT = 8, 12, 2


@torch.inference_mode()
def check_same(backbone: Backbone, tokens: list[np.ndarray], usual: list[torch.Tensor]) -> None:
    """Check that our tokens, passed through the rest of the tower, give the usual embeddings.

    They differ only by how a picture is resized.
    """
    visual = backbone.model.visual
    for of_clip, theirs in zip(tokens, usual, strict=True):
        x = torch.from_numpy(of_clip).float()
        for block in visual.transformer.resblocks[CUT:]:
            x = block(x)
        ours = F.normalize(visual.ln_post(x[:, 0]) @ visual.proj, dim=-1)
        assert float((ours * theirs).sum(-1).min()) > 0.99


def main() -> None:
    """Print the row, for test clips with one view each."""
    import decord  # after torch: before it, decord puts another BLAS in torch's place

    torch.set_num_threads(1)
    prepare_cpu()
    backbone = load_backbone("ViT-B-32-quickgelu", "random:0")
    whole = load_backbone("ViT-B-32-quickgelu", "random:0").model
    transform = open_clip.image_transform(224, is_train=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_videos(folder, CLIPS)
        clips = [Clip(file.stem, file.name, "all", "test", ("x",)) for file in files]
        catalog = Catalog("bench", ("all",), tuple(clips))
        spec = CacheSpec("bench", "", "", "", "", CUT, FRAMES, 1, 0, 1.0, False, {}, "")
        create_tokens(folder, catalog, spec, (50, 768))
        (folder / "png").mkdir()
        work = WorkerConfig(folder, folder, spec, "cpu", 60)
        runner = ClipWorker(work, backbone.stem(CUT), ViewTable(catalog, 1))

        def ours() -> None:
            [(_, outcomes)] = runner.run([(0, clips)])
            assert all(outcome.reason is None for outcome in outcomes)

        usual_embeddings: list[torch.Tensor] = []

        @torch.inference_mode()
        def usual() -> None:
            usual_embeddings.clear()
            for file in files:
                reader = decord.VideoReader(str(file), num_threads=1)
                frames = reader.get_batch(sample_frames(0, len(reader), FRAMES)).asnumpy()
                for n, frame in enumerate(frames):
                    Image.fromarray(frame).save(folder / "png" / f"{n}.png")
                pictures = [
                    transform(Image.open(folder / "png" / f"{n}.png")) for n in range(FRAMES)
                ]
                usual_embeddings.append(whole.encode_image(torch.stack(pictures), normalize=True))

        taken = in_turn(4, {"ours": ours, "usual": usual})
        runner.close()
        tokens = open_tokens(Local(folder), catalog, 1).read([(clip.id, 0) for clip in clips])
        check_same(backbone, list(tokens), usual_embeddings)
    limit = f"PNG files and whole CLIP, {CLIPS / taken['usual']:.2f} clips/s"
    print_rows(
        [
            Row(
                "extract, one thread",
                f"{CLIPS / taken['ours']:.2f} clips/s",
                limit,
                taken["usual"] / taken["ours"],
                5,
            )
        ]
    )


if __name__ == "__main__":
    main()

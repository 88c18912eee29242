"""Load one MSR-VTT task (K = 10) from a cache to the device.

32 training clips in 4 views and 299 test clips, ViT-B/32 cut at block 2.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from ...core.device import keep_freed_memory
from ..parts.synthetic import make_cache
from ..parts.table import Row, in_turn, print_rows

TRAIN, TEST, VIEWS = 16, 150, 4


def main() -> None:
    """Compare with numpy.memmap of the same bytes, both from the page cache.

    Both load into memory that the process has used before, as training on the CPU does from its
    second task on.
    """
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        cache = make_cache(Path(folder), 2, TRAIN, TEST, VIEWS, 1)
        train = [clip.id for clip in cache.catalog if clip.split == "train"]
        test = [clip.id for clip in cache.catalog if clip.split == "test"]
        flat = np.concatenate(
            [cache.all_views(train).reshape(-1, *cache.reader.shape), cache.tokens(test)]
        )
        flat.tofile(Path(folder) / "flat")
        shape, split = flat.shape, len(train) * VIEWS

        def mapped() -> None:
            array = np.memmap(Path(folder) / "flat", np.float16, "r", shape=shape)
            for part in (array[:split], array[split:]):
                torch.from_numpy(np.array(part)).to(device)

        def ours() -> None:
            torch.from_numpy(cache.all_views(train)).to(device)
            torch.from_numpy(cache.tokens(test)).to(device)

        views = [(clip, view) for clip in train for view in range(VIEWS)]
        order = np.random.default_rng(0).permutation(len(views))

        def mapped_random() -> None:
            array = np.memmap(Path(folder) / "flat", np.float16, "r", shape=shape)
            # the file holds view after view, a row of it one clip
            torch.from_numpy(array[order]).to(device)

        def ours_random() -> None:
            torch.from_numpy(cache.read([views[row] for row in order])).to(device)

        taken = in_turn(8, {"ours": ours, "mapped": mapped})
        random = in_turn(8, {"ours": ours_random, "mapped": mapped_random})
        files = len(list(cache.path.glob("tokens/c.*")))
        rows = len(cache.published_views())
    size = flat.nbytes / 1e9
    limit = f"numpy.memmap, {size / taken['mapped']:.1f} GB/s"
    print_rows(
        [
            Row(
                f"load a task's tokens ({size:.1f} GB)",
                f"{size / taken['ours']:.1f} GB/s, checksums proven",
                limit,
                taken["mapped"] / taken["ours"],
                0.7,
            ),
            Row(
                f"{len(views)} rows of it at random",
                f"{len(views) / random['ours']:.0f} rows/s, checksums proven",
                f"numpy.memmap, {len(views) / random['mapped']:.0f} rows/s",
                random["mapped"] / random["ours"],
                0.7,
            ),
            Row("token files", f"{files}", f"{rows} rows", rows / files, 16),
        ]
    )


if __name__ == "__main__":
    main()

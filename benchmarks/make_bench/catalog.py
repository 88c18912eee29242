"""Open a cache of a million clips, and choose a task's clips.

The cache has no tokens. A new process opens it, after all imports.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from ...cache.catalog import Catalog, Clip
from ...cache.checksums import checksums_text
from ...cache.layout import COMPLETE, TOKENS_INDEX
from ...cache.reader import FeatureCache
from ...cache.spec import CacheSpec
from ...cache.writer import CacheWriter
from ...core.hashing import sha256_of
from ..parts.sentences import sentences
from ..parts.table import Row, print_rows, seconds

CLIPS, CATEGORIES, CAPTIONS, TEXTS = 1_000_000, 200, 2, 5000
OPEN, SELECT = 1.0, 1.0  # seconds


def make_catalog() -> Catalog:
    """Two of three clips are for training; categories alternate."""
    names, texts = tuple(f"category{n:03d}" for n in range(CATEGORIES)), sentences(TEXTS)
    clips = []
    for n in range(CLIPS):
        captions = tuple(texts[(n * CAPTIONS + k) % TEXTS] for k in range(CAPTIONS))
        split: Literal["train", "test"] = "train" if n % 3 else "test"
        category = names[n % CATEGORIES]
        clips.append(Clip(f"clip{n:07d}", f"videos/{n:07d}.mp4", category, split, captions))
    return Catalog("bench", names, clips)


def write_cache(folder: Path) -> None:
    """Write a cache that is complete except for tokens, with a hash of every source file."""
    catalog = make_catalog()
    spec = CacheSpec(
        dataset=catalog.dataset, sources="none", catalog=catalog.hash(), backbone="none",
        weights="none", cut=2, frames=12, views=1, view_seed=0, view_scale=0.5, view_flip=True,
        preprocessing={}, decoder="none",
    )  # fmt: skip
    sources = {clip.path: f"{place:064x}" for place, clip in enumerate(catalog)}
    CacheWriter(folder).prepare(spec, catalog, sources, (50, 768), lambda path: None)
    body = {
        "fingerprint": spec.fingerprint(),
        "quarantine": {},
        "provenance": {},
        "files": {
            path.relative_to(folder).as_posix(): sha256_of(path)
            for path in (*folder.glob("*.*"), folder / TOKENS_INDEX)
        },
    }
    (folder / COMPLETE).write_text(checksums_text(body))


def measure(folder: Path) -> tuple[float, float]:
    """Seconds to open the cache, and to choose the training clips of ten categories."""
    opened: list[FeatureCache] = []
    to_open = seconds(lambda: opened.append(FeatureCache.open(folder)))
    catalog = opened[0].catalog
    return to_open, seconds(lambda: catalog.select("train", catalog.categories[:10]))


def main() -> None:
    """Print the medians of five processes."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "structalign.benchmarks.make_bench.catalog", name]
        write_cache(Path(name))
        taken = [
            list(
                map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
            )
            for _ in range(5)
        ]
    to_open, to_select = (sorted(column)[2] for column in zip(*taken, strict=True))
    print_rows(
        [
            Row(
                "open a cache of a million clips", f"{to_open:.2f} s", f"{OPEN} s",
                OPEN / to_open, 1,
            ),
            Row(
                "a task's 33,333 clips of it", f"{to_select:.2f} s", f"{SELECT} s",
                SELECT / to_select, 1,
            ),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*measure(Path(sys.argv[1])))
    else:
        main()

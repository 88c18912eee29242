"""The demo's world as ``extract --dataset demo`` finds it, with few of its 1,520 videos."""

from pathlib import Path

from structalign.extract.datasets.demo.files import VERSION, generate, write_clip
from structalign.extract.datasets.demo.world import build_world
from structalign.extract.datasets.subset import subset


def write_demo(cache_root: Path, limit: int) -> None:
    """Write the videos that ``--limit`` leaves: a world that seems to be there is not made."""
    home = cache_root / "datasets" / f"demo-v{VERSION}-seed0"
    home.mkdir(parents=True)
    (home / "world.json").write_text("{}")
    kept = subset(generate(home.parent, 0), limit).ids
    for clip in build_world(0):
        if clip.name in kept:
            write_clip(clip, home)

"""A demo world's clips as H.264 files."""

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np

from ....cache.catalog import Catalog, Clip
from ....core.errors import StructAlignError
from .scene import SIDE, render
from .world import WorldClip, build_world

VERSION = 2  # of the world's attributes, language and encoding; each version has its own folder
# With x264's macroblock tree the bytes vary from run to run (AVX-512) or between kinds of CPU.
ENCODING = {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}


def generate(
    folder: Path, seed: int, processes: int | None = None, conflict: float = 0.0
) -> Catalog:
    """Write the videos of a world below ``folder``, unless they are there, and catalog them.

    They appear under their final name once all are written. ``conflict`` changes captions alone, so
    worlds that differ in it share their videos.
    """
    home = folder / f"demo-v{VERSION}-seed{seed}"
    clips = build_world(seed, conflict)
    if not (home / "world.json").is_file():
        building = home.with_name(f".{home.name}.{os.getpid()}")
        building.mkdir(parents=True)
        with ProcessPoolExecutor(
            processes or os.cpu_count(), mp_context=get_context("spawn")
        ) as pool:
            try:
                list(pool.map(write_clip, clips, [building] * len(clips), chunksize=32))
            except BrokenProcessPool as error:
                shutil.rmtree(building)
                raise StructAlignError(
                    "the processes that write the demo's videos ended: they import the script that "
                    "calls this, whose calls must stand below 'if __name__ == \"__main__\":'"
                ) from error
        description = {"version": VERSION, "seed": seed, "clips": len(clips)}
        (building / "world.json").write_text(json.dumps(description) + "\n")
        try:
            os.rename(building, home)
        except OSError:  # another process was faster and wrote the same files
            shutil.rmtree(building)
    categories = tuple(dict.fromkeys(clip.category for clip in clips))
    name = f"demo@conflict={conflict:g}" if conflict else "demo"
    return Catalog(name, categories, tuple(_entry(clip, home.name) for clip in clips))


def _entry(clip: WorldClip, folder: str) -> Clip:
    path, extra = f"{folder}/{clip.name}.mp4", {"twin": clip.twin} if clip.twin else {}
    return Clip(clip.name, path, clip.category, clip.split, clip.captions, extra=extra)


def write_clip(clip: WorldClip, folder: Path) -> None:
    """Render a clip and write ``<folder>/<name>.mp4``: H.264, yuv420p, SIDE x SIDE pixels."""
    times = np.arange(clip.frames, dtype=np.float32) / np.float32(clip.frames - 1)
    with av.open(str(folder / f"{clip.name}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=clip.fps, options=ENCODING)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for picture in render(clip.scene, times):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())

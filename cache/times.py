"""When a player shows the sampled frames of every clip, as a file of the cache"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from ..core.files import write_bytes
from .catalog import Catalog
from .layout import TIMES

FRAMES, VIDEO = "frames", "video"  # the arrays of the file


class ClipTimes(NamedTuple):
    """When a player shows a clip, in seconds of the player's clock.

    Attributes:
        frames: when each sampled frame appears.
        begin: when the first frame of its whole video appears; the clip's start and end count from
            there. It is 0 unless the picture begins late.
        end: when the last frame of its whole video ends.
    """

    frames: tuple[float, ...]
    begin: float
    end: float


class TimesTable:
    """The times of all clips of a cache.

    Args:
        frames: float64 [clips, frames], a row for each clip; NaN for one without times.
        video: float64 [clips, 2], ``begin`` and ``end``.
    """

    def __init__(self, frames: NDArray[np.float64], video: NDArray[np.float64]) -> None:
        self.frames, self.video = frames, video

    @classmethod
    def of(cls, times: Mapping[str, ClipTimes], catalog: Catalog, frames: int) -> "TimesTable":
        """The table of some clips' times by id."""
        clips = len(catalog)
        table = cls(np.full((clips, frames), np.nan), np.full((clips, 2), np.nan))
        for clip, known in times.items():
            row = catalog.index(clip)
            table.frames[row], table.video[row] = known.frames, (known.begin, known.end)
        return table

    @classmethod
    def parse(cls, body: bytes, clips: int, frames: int) -> "TimesTable":
        """The table in the bytes of the file. Raises ValueError where it holds something else."""
        try:
            arrays = safetensors.numpy.load(body)
        except SafetensorError as error:
            raise ValueError(f"{TIMES} holds no arrays ({error})") from error
        expected = {FRAMES: (clips, frames), VIDEO: (clips, 2)}
        shapes = {name: array.shape for name, array in arrays.items() if array.dtype == np.float64}
        if shapes != expected:
            raise ValueError(f"{TIMES} holds {shapes}, not {expected}")
        return cls(arrays[FRAMES], arrays[VIDEO])

    def row(self, index: int) -> ClipTimes | None:
        """The times of a clip by its index in the catalog; None where they are not known."""
        frames, video = self.frames[index], self.video[index]
        if not (np.isfinite(frames).all() and np.isfinite(video).all()):
            return None
        return ClipTimes(tuple(frames.tolist()), *video.tolist())

    def write(self, folder: Path) -> None:
        """Write the file into the folder of a cache."""
        body = safetensors.numpy.save({FRAMES: self.frames, VIDEO: self.video})
        write_bytes(folder / TIMES, body)

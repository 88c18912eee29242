"""The frame index, decord and PyAV on files of MSR-VTT's kind.

The index of the packets' times decides which of the two decodes, so every clip needs it.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from ...extract.video.decord_frames import DecoderLog, frames_by_decord
from ...extract.video.frame_index import read_index
from ...extract.video.pyav_frames import frames_by_seeking
from ...extract.video.sampling import frame_range, sample_frames
from ..parts.table import Row, in_turn, print_rows
from ..parts.videos import make_videos

FILES, FRAMES = 24, 12


def main() -> None:
    """Print medians over files, each the median of three rounds in turn."""
    log = DecoderLog()
    rows: dict[str, list[float]] = {"index": [], "decord": [], "pyav": []}
    with tempfile.TemporaryDirectory() as folder:
        for file in make_videos(Path(folder) / "videos", FILES):
            for name, taken in in_turn(3, ways(file, log)).items():
                rows[name].append(taken)
    index, decord, pyav = (1000 * median(rows[name]) for name in ("index", "decord", "pyav"))
    slowest = 1000 * max(rows["index"])
    decode = f"decord, {decord:.1f} ms for {FRAMES} frames"
    print_rows(
        [
            Row("frame index", f"{index:.1f} ms, at most {slowest:.1f}", decode, decord / index, 5),
            Row("PyAV by seeking", f"{pyav:.1f} ms", decode, decord / pyav, 0.8),
        ]
    )


def ways(file: Path, log: DecoderLog) -> dict[str, Callable[[], object]]:
    """The work that is timed on one file."""
    index = read_index(file)
    wanted = sample_frames(*frame_range(index.times, index.last, None, None), FRAMES)
    return {
        "index": partial(read_index, file),
        "decord": partial(frames_by_decord, file, len(index.pts), wanted, log),
        "pyav": partial(frames_by_seeking, file, index, wanted),
    }


if __name__ == "__main__":
    main()
